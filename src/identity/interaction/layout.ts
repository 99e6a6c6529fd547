import { hash } from 'node:crypto';
import { html, trustedHtml, type Html } from './html.ts';
import type { Texts } from '../text/strings.ts';

const style = `
:root { color-scheme: light dark; --text: #1b1f24; --quiet: #57606a; --ground: #f4f5f7; --card: #fff;
  --line: #8c959f; --accent: #0b5cad; --on-accent: #fff; --alarm: #a40e26; --alarm-ground: #ffebe9; }
@media (prefers-color-scheme: dark) { :root { --text: #e6edf3; --quiet: #9da7b3; --ground: #0d1117; --card: #161b22;
  --line: #6e7681; --accent: #6cb6ff; --on-accent: #0d1117; --alarm: #ffb3ab; --alarm-ground: #3d1214; } }
* { box-sizing: border-box; }
[hidden] { display: none !important; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1rem; background: var(--ground);
  color: var(--text); font: 1rem/1.5 system-ui, sans-serif; }
main { width: 100%; max-width: 24rem; padding: 2rem; background: var(--card); border: 1px solid var(--line);
  border-radius: .75rem; overflow-wrap: anywhere; }
h1 { margin: 0 0 .25rem; font-size: 1.5rem; line-height: 1.25; }
p { margin: 0 0 1rem; color: var(--quiet); }
form { display: grid; gap: .375rem; margin: 0; }
label { font-weight: 600; }
input { width: 100%; margin-bottom: .75rem; padding: .625rem .75rem; font: inherit; color: inherit;
  background: var(--ground); border: 1px solid var(--line); border-radius: .375rem; }
button { width: 100%; margin-top: .5rem; padding: .625rem .75rem; font: inherit; font-weight: 600; cursor: pointer;
  border: 1px solid var(--accent); border-radius: .375rem; background: var(--accent); color: var(--on-accent); }
button.quiet { background: transparent; color: var(--accent); }
a { color: var(--accent); }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.alarm { padding: .625rem .75rem; border-radius: .375rem; background: var(--alarm-ground); color: var(--alarm); }
code { font-size: .875rem; }
main.wide { max-width: 40rem; }
ul { margin: 0 0 1rem; padding-left: 1.25rem; }
ul.cards { padding: 0; list-style: none; }
ul.cards > li { display: grid; gap: .75rem; margin-bottom: 1rem; padding: 1rem; border: 1px solid var(--line);
  border-radius: .5rem; }
h2, h3 { margin: 0; font-size: 1.0625rem; }
h2.section { margin: 2rem 0 .25rem; font-size: 1.25rem; }
summary { width: max-content; max-width: 100%; color: var(--accent); cursor: pointer; }
details > form { margin-top: .5rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .125rem .75rem; margin: 0; }
dt { color: var(--quiet); }
dd { margin: 0; }
.badge { display: inline-block; margin-left: .5rem; padding: 0 .5rem; border: 1px solid var(--accent);
  border-radius: 1rem; color: var(--accent); font-size: .875rem; font-weight: 400; }
.code { margin: 0 0 1rem; color: var(--text); font: 600 1.5rem/1.5 ui-monospace, monospace; letter-spacing: .1em;
  text-align: center; }
`;

/** The only style that the Content-Security-Policy allows. */
export const styleSource = `'sha256-${hash('sha256', style, 'base64')}'`;

// Without white space around the style: browsers hash the whole content of the element.
const styleElement = trustedHtml(`<style>${style}</style>`);

/** A complete page. It loads no further resources. */
export function page(texts: Texts, title: string, body: Html, width: 'narrow' | 'wide' = 'narrow'): string {
  return html`<!doctype html>
    <html lang="${texts.language}">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="robots" content="noindex" />
        <title>${title}</title>
        ${styleElement}
      </head>
      <body>
        <main class="${width}">
          <h1>${title}</h1>
          ${body}
        </main>
      </body>
    </html> `.markup;
}
