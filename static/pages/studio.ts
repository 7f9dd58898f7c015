/** `/studio/{room}`. */

import { applyTheme } from './shared/theme.js';
import { startStudioPage } from './studio/app.js';

applyTheme();
startStudioPage(document.getElementById('app') ?? document.body);
