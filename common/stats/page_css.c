/* The style of the HTML report: one column that fits a phone of 360 pixels, charts side by side where there is room, dark where
   that is wanted, black on white on paper. */
#include "common/stats/page.h"

const char page_css[] =
    ":root{color-scheme:light dark;--ink:#1c1f23;--soft:#5b636d;--line:#d9dde2;--paper:#fff;--card:#f5f6f8;--yes:#00703c;--no:#b3261e;--open:#7a5c00}\n"
    "@media(prefers-color-scheme:dark){:root{--ink:#e6e8ea;--soft:#a3abb5;--line:#3a4149;--paper:#15181c;--card:#1f2429;--yes:#5fcf96;--no:#ff8a80;--open:#e5c15a}"
    ".c0{--c:#4da3d4}.c1{--c:#f08c4a}.c2{--c:#3dbb92}.c3{--c:#d58bc0}.c4{--c:#d1a03a}.c5{--c:#7fb0f0}.c6{--c:#b09ae0}.c7{--c:#a5a5a5}.chart .no,.num{color:#111;fill:#111!important}}\n"
    "*{box-sizing:border-box}body{margin:0 auto;max-width:72rem;padding:1rem;font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);overflow-wrap:break-word}\n"
    "h1{font-size:1.5rem;line-height:1.25;margin:.2rem 0 .4rem}h2{font-size:1.15rem;margin:2rem 0 .5rem;padding-top:.6rem;border-top:1px solid var(--line)}h3{font-size:1rem;margin:1rem 0 .3rem}\n"
    "p{margin:.4rem 0;max-width:46rem}.soft,small{color:var(--soft)}small{font-size:.8em}\n"
    ".answer{border-left:5px solid var(--open);background:var(--card);padding:.7rem .9rem;margin:.8rem 0;max-width:48rem}.answer.yes{border-color:var(--yes)}.answer.no{border-color:var(--no)}"
    ".answer p{margin:0}.answer .said{font-weight:600;margin-top:.2rem}.note{border-left:3px solid var(--line);padding-left:.7rem}\n"
    "table{border-collapse:collapse;font-size:.85rem;font-variant-numeric:tabular-nums;margin:.5rem 0}th,td{padding:.25rem .4rem;text-align:right;border-bottom:1px solid var(--line);vertical-align:top}"
    "th{font-weight:600;color:var(--soft);vertical-align:bottom}th.l,td.l{text-align:left}td.l{overflow-wrap:anywhere;min-width:5.5rem}td small{display:block;white-space:nowrap}.pairs td small{display:inline-block;margin-left:.4em}\n"
    ".num{display:inline-block;min-width:1.35em;padding:0 .2em;border-radius:1em;background:var(--c);color:#fff;font-size:.75em;font-weight:700;text-align:center;line-height:1.5;margin-right:.3em}\n"
    ".grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,19.5rem),1fr));gap:1rem 1.6rem;align-items:start}.two{grid-template-columns:repeat(auto-fit,minmax(min(100%,27rem),1fr))}figure{margin:0;break-inside:avoid;min-width:0}figcaption{font-size:.85rem;color:var(--soft)}"
    ".chart{display:block;width:100%;max-width:30rem;height:auto}\n"
    ".matrix td{text-align:center;min-width:1.7em}.matrix td.l{text-align:left}.cards td{white-space:nowrap}.cards td.l{white-space:normal}.matrix .up{color:var(--yes);font-weight:700}.matrix .down{color:var(--no)}\n"
    ".conf td{position:relative;text-align:center;min-width:1.9rem;padding:.3rem .15rem;border:1px solid var(--line)}.conf th{font-size:.75rem}.conf thead th{writing-mode:vertical-rl;transform:rotate(180deg);text-align:left;vertical-align:top;padding:.3rem .1rem}"
    ".conf td.hit{background:color-mix(in srgb,var(--yes) var(--p),transparent)}.conf td.miss{background:color-mix(in srgb,var(--no) var(--p),transparent)}\n"
    ".row{border:1px solid var(--line);border-radius:.4rem;padding:.6rem .8rem;margin:.8rem 0;break-inside:avoid}.row h3{margin:0 0 .3rem;font-weight:400;font-size:.85rem;color:var(--soft)}"
    ".row table{width:100%}.row td.l{min-width:4rem}.ok{color:var(--yes)}.bad{color:var(--no)}.why{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,17rem),1fr));gap:.3rem 1.2rem}.why p{font-size:.9rem}.prompt{white-space:pre-wrap;font-size:.85rem}\n"
    "@media(max-width:40rem){.cards thead{display:none}.cards tr{display:grid;grid-template-columns:1fr 1fr;gap:.1rem .8rem;padding:.5rem 0;border-bottom:1px solid var(--line)}.cards td{display:flex;justify-content:space-between;gap:.5rem;border:0;padding:.05rem 0}"
    ".cards td.l{grid-column:1/-1;display:block}.cards td[data-l]::before{content:attr(data-l);color:var(--soft)}body{padding:.8rem}}\n"
    "@media(max-width:27rem){table{font-size:.78rem}th,td{padding:.25rem .2rem}td.l{min-width:4.6rem}.row td.l{overflow-wrap:break-word;min-width:0}}\n"
    "@media print{:root{color-scheme:light;--ink:#000;--soft:#444;--line:#bbb;--paper:#fff;--card:#f3f3f3;--yes:#00703c;--no:#b3261e;--open:#7a5c00}body{font-size:11px;max-width:none;padding:0}h2{break-after:avoid}.c0{--c:#0b6fa4}.c1{--c:#c8500a}.c2{--c:#00805d}.c3{--c:#a8518a}.c4{--c:#946200}.c5{--c:#3a7bd5}.c6{--c:#7a5bb0}.c7{--c:#6b6b6b}"
    ".chart .no,.num{color:#fff;fill:#fff!important}*{print-color-adjust:exact;-webkit-print-color-adjust:exact}.grid{grid-template-columns:1fr 1fr}}\n";
