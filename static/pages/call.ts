/** `/call/{room}`. */

import { startCallPage } from './call/app.js';
import { applyTheme } from './shared/theme.js';

applyTheme();
startCallPage(document.getElementById('app') ?? document.body, false);
