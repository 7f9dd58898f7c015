/** `/embed/call/{room}`: the call without the strip at the top, filling its frame. */

import { startCallPage } from './call/app.js';
import { applyTheme } from './shared/theme.js';

applyTheme();
startCallPage(document.getElementById('app') ?? document.body, true);
