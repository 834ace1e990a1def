import './policy.js';
import './app.js';
