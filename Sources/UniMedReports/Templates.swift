import Foundation
import Mustache

/// The page's text and style.
///
/// They are constants, so that the page needs no file beside the program.
enum Templates {
    /// Escapes by code points: a mark that combines with a quotation mark must not protect it.
    private struct EscapedText: MustacheContentType {
        func escapeText(_ text: String) -> String { HTML.escape(text) }
    }

    private static let page = template(source)
    private static let dataPage = template(dataSource)
    private static let comparisonPage = template(comparisonSource)

    /// What all pages share, around what is between.
    private static func template(_ body: String) -> MustacheTemplate {
        MustacheContentTypes.register(EscapedText(), named: "ESCAPED")
        do {
            return try MustacheTemplate(string: "{{% CONTENT_TYPE: ESCAPED}}\n" + head + body + foot)
        } catch {
            preconditionFailure("the page's own template is well formed: \(error)")
        }
    }

    static func render(_ content: [String: Any]) -> String { page.render(content) }

    static func renderData(_ content: [String: Any]) -> String { dataPage.render(content) }

    static func renderComparison(_ content: [String: Any]) -> String { comparisonPage.render(content) }

    private static let head = """
        <!DOCTYPE html>
        <html lang="en">
        <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <meta name="color-scheme" content="light dark">
        <meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
        <title>{{title}}</title>
        <style>{{{style}}}</style>
        </head>
        <body>
        <main>
        <h1>{{title}}</h1>

        """

    private static let foot = """

        </main>
        </body>
        </html>

        """

    private static let comparisonSource = """
        {{#omitted}}<p class="note"><strong>This page has no plots.</strong> {{.}}</p>{{/omitted}}
        {{#notes}}<p class="note">{{.}}</p>
        {{/notes}}
        {{#tables}}<section>
        <h2>{{title}}</h2>
        <div class="scroll"><table>
        <thead><tr>{{#headings}}<th class="{{kind}}">{{text}}</th>{{/headings}}</tr></thead>
        <tbody>{{#lines}}<tr>{{#cells}}<td class="{{kind}}">{{text}}</td>{{/cells}}</tr>
        {{/lines}}</tbody></table></div>
        </section>
        {{/tables}}
        {{#figures}}<figure><h3>{{title}}</h3>{{{svg}}}<figcaption>{{caption}}</figcaption></figure>
        {{/figures}}
        """

    private static let dataSource = """
        <dl class="facts">
        {{#facts}}<div><dt>{{label}}</dt><dd>{{value}}</dd></div>
        {{/facts}}</dl>
        {{#notes}}<p class="note">{{.}}</p>
        {{/notes}}
        <div class="scroll"><table>
        <thead><tr><th>Data set</th><th>Split</th><th>Task</th><th class="number">Samples</th>\
        <th class="number">Shown</th></tr></thead>
        <tbody>{{#sections}}<tr><td><a href="#{{anchor}}">{{dataset}}</a></td><td>{{split}}</td>\
        <td><code>{{task}}</code></td><td class="number">{{count}}</td><td class="number">{{shown}}</td></tr>
        {{/sections}}</tbody></table></div>
        {{#sections}}
        <section id="{{anchor}}">
        <h2>{{dataset}}, {{split}}, <code>{{task}}</code></h2>
        <div class="cards">
        {{#cards}}<article class="card" style="--task: {{color}}">
        <header><span class="tag">{{tag}}</span> <span class="dataset">{{name}}</span></header>
        {{#picture}}<div class="picture"><div class="frame" style="--width: {{width}}; --height: {{height}}">\
        <img alt="Sample picture of {{dataset}}" src="data:image/png;base64,{{{data}}}">\
        {{#box}}<svg viewBox="0 0 {{frameWidth}} {{frameHeight}}" preserveAspectRatio="none" aria-hidden="true">\
        <rect class="under" x="{{x}}" y="{{y}}" width="{{width}}" height="{{height}}"/>\
        <rect class="annotated" x="{{x}}" y="{{y}}" width="{{width}}" height="{{height}}"/></svg>{{/box}}\
        </div></div>{{/picture}}
        <dl><dt>Prompt</dt><dd class="verbatim">{{prompt}}</dd><dt>Target</dt><dd class="verbatim answer">{{target}}</dd></dl>
        <footer>{{#facts}}<span>{{label}} <b>{{value}}</b></span> {{/facts}}</footer>
        </article>
        {{/cards}}</div>
        </section>
        {{/sections}}
        """

    private static let source = """
        {{#omitted}}<p class="note"><strong>This page has no plots.</strong> {{.}}</p>{{/omitted}}
        <dl class="facts">
        {{#facts}}<div><dt>{{label}}</dt><dd>{{value}}</dd></div>
        {{/facts}}</dl>
        {{#notes}}<p class="note">{{.}}</p>
        {{/notes}}
        {{#table}}
        <section>
        <h2>Scores</h2>
        {{#scoreFigures}}<figure><h3>{{title}}</h3>{{{svg}}}<figcaption>{{caption}}</figcaption></figure>{{/scoreFigures}}
        <div class="scroll"><table>
        <thead><tr><th>Data set</th><th>Task</th><th>Metric</th><th class="number">n</th><th class="number">Value</th>\
        <th class="number">Baseline</th><th class="number">Difference</th><th class="number">{{confidence}}% interval</th>\
        <th class="number">Unparsed</th><th class="number">Skipped</th></tr></thead>
        {{#groups}}<tbody>
        {{#isEmpty}}<tr><td>{{dataset}}</td><td><code>{{task}}</code></td><td colspan="7">nothing evaluated</td>\
        <td class="number">{{skipped}}</td></tr>{{/isEmpty}}
        {{#lines}}<tr{{#isPrimary}} class="primary"{{/isPrimary}}>\
        {{#isFirst}}<td rowspan="{{span}}">{{dataset}}</td><td rowspan="{{span}}"><code>{{task}}</code></td>{{/isFirst}}\
        <td>{{metric}}</td><td class="number">{{n}}</td><td class="number">{{value}}</td><td class="number">{{baseline}}</td>\
        <td class="number">{{#isBetter}}<span class="better" title="the interval is above zero">&#9650;</span> {{/isBetter}}\
        {{#isWorse}}<span class="worse" title="the interval is below zero">&#9660;</span> {{/isWorse}}{{difference}}</td>\
        <td class="number">{{interval}}</td>\
        {{#isFirst}}<td class="number" rowspan="{{span}}">{{unparsed}}</td>\
        <td class="number" rowspan="{{span}}">{{skipped}}</td>{{/isFirst}}</tr>
        {{/lines}}</tbody>
        {{/groups}}</table></div>
        <p class="small">Values in percent. The baseline answers without looking at the picture, from the training split
        alone: majority class, most frequent answer to the kind of question, mean box of the name, most frequent name, best
        constant report. &#9650; the whole interval of the difference is above zero, &#9660; below. Bold: the metric that
        stands for the task.</p>
        </section>
        {{/table}}
        {{#hasLosses}}
        <section>
        <h2>Losses</h2>
        {{#lossFigures}}<figure><h3>{{title}}</h3>{{{svg}}}<figcaption>{{caption}}</figcaption></figure>{{/lossFigures}}
        </section>
        {{/hasLosses}}
        {{#hasCards}}
        <section>
        <h2>Samples</h2>
        <p class="small legend"><span class="key predicted"></span> predicted box
        <span class="key annotated"></span> reference box</p>
        <div class="cards">
        {{#cards}}<article class="card" style="--task: {{color}}">
        <header><span class="tag">{{tag}}</span> <span class="dataset">{{dataset}}</span></header>
        {{#picture}}<div class="picture"><div class="frame" style="--width: {{width}}; --height: {{height}}">\
        <img alt="Sample picture of {{dataset}}" src="data:image/png;base64,{{{data}}}">\
        {{#hasBoxes}}<svg viewBox="0 0 {{width}} {{height}}" preserveAspectRatio="none" aria-hidden="true">\
        {{#annotated}}<rect class="under" x="{{x}}" y="{{y}}" width="{{width}}" height="{{height}}"/>\
        <rect class="annotated" x="{{x}}" y="{{y}}" width="{{width}}" height="{{height}}"/>{{/annotated}}\
        {{#predicted}}<rect class="under" x="{{x}}" y="{{y}}" width="{{width}}" height="{{height}}"/>\
        <rect class="predicted" x="{{x}}" y="{{y}}" width="{{width}}" height="{{height}}"/>{{/predicted}}\
        </svg>{{/hasBoxes}}</div></div>{{/picture}}
        <dl><dt>Question</dt><dd>{{question}}</dd><dt>Answer</dt><dd class="answer">{{answer}}</dd>\
        <dt>Reference</dt><dd>{{reference}}</dd></dl>
        <footer>{{#scores}}<span>{{label}} <b>{{value}}</b></span> {{/scores}}</footer>
        </article>
        {{/cards}}</div>
        </section>
        {{/hasCards}}
        {{#hasRouting}}
        <section>
        <h2>Routing</h2>
        {{#routingFigures}}<figure><h3>{{title}}</h3>{{{svg}}}<figcaption>{{caption}}</figcaption></figure>{{/routingFigures}}
        <div class="scroll"><table>
        <thead><tr><th>Task</th>{{#routingExperts}}<th class="number">{{.}}</th>{{/routingExperts}}</tr></thead>
        <tbody>{{#routingRows}}<tr><td><code>{{task}}</code></td>{{#weights}}<td class="number">{{.}}</td>{{/weights}}</tr>
        {{/routingRows}}</tbody></table></div>
        </section>
        {{/hasRouting}}
        {{#hasFigures}}
        <section>
        <h2>Figures</h2>
        {{#moreFigures}}<figure><h3>{{title}}</h3>{{{svg}}}<figcaption>{{caption}}</figcaption></figure>
        {{/moreFigures}}
        </section>
        {{/hasFigures}}
        """

    static let style = """

        :root { color-scheme: light dark; --ink: #1c2127; --quiet: #5a646e; --paper: #ffffff; --panel: #f5f6f8;
          --line: #d9dde2; --better: #00704f; --worse: #b34700; }
        @media (prefers-color-scheme: dark) { :root { --ink: #e6e9ed; --quiet: #a0a9b3; --paper: #14171b;
          --panel: #1d2127; --line: #363c44; --better: #4fd1a5; --worse: #ff9d5c; } }
        * { box-sizing: border-box; }
        body { margin: 0; background: var(--paper); color: var(--ink);
          font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", sans-serif; }
        main { max-width: 1080px; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
        h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 1.25rem; }
        h2 { font-size: 1.3rem; margin: 2.75rem 0 .75rem; padding-bottom: .3rem; border-bottom: 1px solid var(--line); }
        h3 { font-size: 1rem; margin: 0 0 .5rem; }
        code { font: .92em ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
        .small { font-size: .875rem; color: var(--quiet); max-width: 75ch; }
        .note { background: var(--panel); border-left: 4px solid #0072B2; padding: .6rem .9rem; border-radius: 4px;
          max-width: 80ch; }
        .facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(190px, 1fr)); gap: .75rem; margin: 0 0 1rem; }
        .facts div { background: var(--panel); border-radius: 6px; padding: .6rem .8rem; min-width: 0; }
        .facts dt { font-size: .8rem; color: var(--quiet); }
        .facts dd { margin: 0; font-weight: 600; overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
        figure { margin: 1rem 0 1.5rem; }
        figure svg { display: block; width: 100%; height: auto; font-family: inherit; }
        figcaption { font-size: .875rem; color: var(--quiet); max-width: 75ch; }
        .scroll { overflow-x: auto; }
        table { border-collapse: collapse; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums; }
        th, td { padding: .35rem .6rem; text-align: left; vertical-align: top; }
        th { color: var(--quiet); font-weight: 600; border-bottom: 2px solid var(--line); white-space: nowrap; }
        tbody { border-bottom: 1px solid var(--line); }
        .number { text-align: right; white-space: nowrap; }
        .primary td { font-weight: 650; }
        .primary td[rowspan] { font-weight: 400; }
        .better { color: var(--better); } .worse { color: var(--worse); }
        .cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(290px, 1fr)); gap: 1rem; }
        .card { background: var(--panel); border-radius: 8px; border-top: 4px solid var(--task); padding: .8rem .9rem;
          display: flex; flex-direction: column; gap: .6rem; min-width: 0; break-inside: avoid; }
        .card header { display: flex; justify-content: space-between; align-items: baseline; gap: .5rem; }
        .tag { font: 600 .85rem ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
        .dataset { font-size: .8rem; color: var(--quiet); }
        .picture { background: #000; border-radius: 4px; display: flex; justify-content: center; overflow: hidden; }
        .frame { position: relative; aspect-ratio: var(--width) / var(--height);
          width: min(100%, calc(260px * var(--width) / var(--height))); }
        .frame img, .frame svg { position: absolute; inset: 0; width: 100%; height: 100%; }
        .frame img { object-fit: fill; image-rendering: auto; }
        .frame rect { fill: none; vector-effect: non-scaling-stroke; }
        .frame .under { stroke: #000; stroke-opacity: .75; stroke-width: 5px; }
        .frame .predicted { stroke: #E69F00; stroke-width: 2.5px; stroke-dasharray: 7 4; }
        .frame .annotated { stroke: #56B4E9; stroke-width: 2.5px; }
        .legend { display: flex; align-items: center; gap: .5rem; }
        .key { display: inline-block; width: 1.6rem; height: 0; border-top: 3px solid; }
        .key.predicted { border-color: #E69F00; border-top-style: dashed; }
        .key.annotated { border-color: #56B4E9; margin-left: 1rem; }
        .card dl { margin: 0; display: grid; grid-template-columns: auto 1fr; gap: .2rem .7rem; font-size: .92rem; }
        .card dt { color: var(--quiet); font-size: .8rem; padding-top: .1rem; }
        .card dd { margin: 0; overflow-wrap: anywhere; }
        .answer { font-weight: 600; }
        .verbatim { white-space: pre-wrap; }
        .card footer { margin-top: auto; font-size: .82rem; color: var(--quiet); display: flex; flex-wrap: wrap; gap: .8rem;
          font-variant-numeric: tabular-nums; }
        .card footer b { color: var(--ink); }
        @media print {
          :root { --ink: #000; --quiet: #444; --paper: #fff; --panel: #f5f6f8; --line: #bbb; }
          body { font-size: 10.5pt; } main { max-width: none; padding: 0; }
          h2 { break-after: avoid; } figure, tbody, .card { break-inside: avoid; }
          .picture, .card, .note, .facts div { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
        }

        """
}
