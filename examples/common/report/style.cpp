#include "examples/common/report/sections.h"

namespace demi::examples::report {

// Colours keep apart under the common colour vision deficiencies, and no meaning hangs on colour alone.
const char* page_style() {
    return R"css(
:root{--bg:#f5f6f8;--card:#fff;--ink:#17202a;--soft:#5a6673;--line:#dde2e8;--accent:#0072b2;--good:#00694f;--bad:#b03c00;
--hit:0,114,178;--miss:213,94,0;--track:#e6eaef;
--s0:#0072b2;--s1:#d55e00;--s2:#00906b;--s3:#a8428a;--s4:#9a7400;--s5:#5a6673}
@media(prefers-color-scheme:dark){:root{--bg:#0f1318;--card:#181e25;--ink:#e6ebf0;--soft:#9aa7b4;--line:#2b343e;--accent:#5cb8ea;
--good:#45cba4;--bad:#f4935a;--hit:50,140,205;--miss:226,112,30;--track:#29323b;
--s0:#5cb8ea;--s1:#f0884a;--s2:#3cc29b;--s3:#d98cc0;--s4:#e0c04e;--s5:#9aa7b4}}
*{box-sizing:border-box}
html{scroll-behavior:smooth;scroll-padding-top:3.4rem;-webkit-text-size-adjust:100%}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;
font-variant-numeric:tabular-nums}
header,main,nav{max-width:1240px;margin:0 auto;padding:0 20px}
header{padding-top:28px}
.brand{margin:0;color:var(--accent);font-weight:700;letter-spacing:.04em}
.brand span{margin-left:.5em;padding:.1em .7em;border:1px solid var(--line);border-radius:1em;color:var(--soft);font-size:.8rem;
font-weight:500;letter-spacing:0}
h1{margin:.15em 0 0;font-size:clamp(1.5rem,4vw,2.2rem);line-height:1.2;letter-spacing:-.015em;overflow-wrap:anywhere}
h2{margin:0 0 .3em;font-size:1.35rem;letter-spacing:-.01em}
h3{margin:0;font-size:.95rem}
.subtitle,.intro{margin:.3em 0 0;color:var(--soft);max-width:90ch;overflow-wrap:anywhere}
.intro{margin-bottom:1em}
.note{margin:1em 0 0;padding:.6em .9em;border-left:4px solid var(--bad);background:var(--card);border-radius:4px;overflow-wrap:anywhere}
.note span,.bad{color:var(--bad)}.good{color:var(--good)}.warn{color:var(--bad)}.soft{color:var(--soft)}
small{white-space:nowrap;font-size:.82em;color:var(--soft);font-weight:400}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;list-style:none;margin:22px 0 0;padding:0}
.tiles li,.card{background:var(--card);border:1px solid var(--line);border-radius:10px}
.tiles li{padding:12px 16px;display:flex;flex-direction:column;min-width:0}
.tiles span{color:var(--soft);font-size:.85rem}
.tiles small{white-space:normal}
.tiles b{font-size:1.65rem;line-height:1.25;letter-spacing:-.02em;overflow-wrap:anywhere}
.tiles li:first-child b{color:var(--accent)}
nav{position:sticky;top:0;z-index:5;display:flex;gap:4px;overflow-x:auto;margin-top:18px;padding-top:8px;padding-bottom:8px;
background:var(--bg);scrollbar-width:none}
nav::-webkit-scrollbar{display:none}
nav a{padding:.25em .8em;border-radius:1em;color:var(--soft);text-decoration:none;white-space:nowrap;font-size:.9rem}
nav a:first-child{margin-left:-.8em}
nav a:hover,nav a.here{background:var(--card);color:var(--ink)}
:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
section{padding:20px 0 24px}
.card{padding:14px 16px}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,340px),1fr));gap:14px}
figure{margin:0;min-width:0}
.chart{position:relative;padding-bottom:8px}
.chart>figcaption{display:flex;justify-content:space-between;align-items:center;min-height:1.9em}
button{font:inherit;font-size:.8rem;padding:.1em .8em;border:1px solid var(--line);border-radius:1em;background:none;color:var(--soft);
cursor:pointer}
button[aria-pressed=true]{background:var(--accent);border-color:var(--accent);color:var(--card)}
.legend{display:flex;flex-wrap:wrap;gap:0 1.2em;list-style:none;margin:0 0 4px;padding:0;font-size:.85rem;color:var(--soft)}
.legend b{color:var(--ink)}
.legend li::before{content:"";display:inline-block;width:1.3em;height:0;margin-right:.45em;vertical-align:.28em;
border-top:3px solid var(--c)}
.s0{--c:var(--s0)}.s1{--c:var(--s1)}.s2{--c:var(--s2)}.s3{--c:var(--s3)}.s4{--c:var(--s4)}.s5{--c:var(--s5)}
.legend .s1::before,.legend .s3::before{border-top-style:dashed}
.legend .s2::before,.legend .s5::before{border-top-style:dotted}
.plot{position:relative}
svg{display:block;overflow:visible;width:100%;height:auto;touch-action:pan-y}
svg.off{display:none}
.grid path{stroke:var(--line);stroke-width:1}
.ticks{fill:var(--soft);font-size:11px}
.line,.raw{fill:none;stroke:var(--c);stroke-width:2;stroke-linejoin:round;stroke-linecap:round}
.raw{stroke-width:1;opacity:.28}
.line.s1,.line.s3{stroke-dasharray:7 4}.line.s2,.line.s5{stroke-dasharray:1 4}
.dots circle{fill:var(--c);stroke:var(--card);stroke-width:1}
path.level{stroke:var(--soft);stroke-width:1;stroke-dasharray:3 3}
text.level{fill:var(--soft);font-size:11px;paint-order:stroke;stroke:var(--card);stroke-width:3px}
.cursor path{stroke:var(--soft);stroke-width:1}.cursor circle{fill:var(--c);stroke:var(--card);stroke-width:1.5}
.tip{position:absolute;top:8px;display:none;pointer-events:none;padding:.35em .7em;border:1px solid var(--line);border-radius:6px;
background:var(--card);font-size:.82rem;line-height:1.45;white-space:nowrap;box-shadow:0 3px 12px rgba(0,0,0,.14)}
.tip div::before{content:"";display:inline-block;width:.7em;height:.7em;border-radius:50%;background:var(--c);margin-right:.45em}
.chart .bad{margin:2px 0;font-size:.85rem}
.scroll{overflow:auto}.tall{max-height:70vh;padding:0}
table{border-collapse:collapse;font-size:.86rem}
caption{text-align:left;color:var(--soft);font-size:.85rem;padding-bottom:.6em}
th{text-align:left;font-weight:600}
.num{text-align:right;white-space:nowrap}
.two{display:grid;grid-template-columns:minmax(0,auto) minmax(300px,1fr);gap:20px 36px;align-items:start}
.confusion{border-collapse:separate;border-spacing:2px}
.confusion td{min-width:2.9em;height:2.2em;padding:0 .35em;text-align:center;color:var(--soft);border-radius:3px}
.confusion .hit{background:rgba(var(--hit),var(--a,0));color:var(--ink)}
.confusion .miss{background:rgba(var(--miss),var(--a,0));color:var(--ink)}
.confusion .full{color:#fff;font-weight:600}
.confusion .miss.full{color:#000}
.confusion tbody th{font-weight:500;padding-right:.6em;white-space:nowrap;max-width:12em;overflow:hidden;text-overflow:ellipsis;
position:sticky;left:0;background:var(--card)}
.confusion thead th{vertical-align:bottom;text-align:center;font-weight:500}
.confusion thead span{writing-mode:vertical-rl;transform:rotate(180deg);max-height:7.5em;overflow:hidden;white-space:nowrap;
text-overflow:ellipsis}
.matrix img{width:100%;max-width:480px;image-rendering:pixelated;border:1px solid var(--line)}
.matrix figcaption{color:var(--soft);font-size:.85rem}
.classes{width:100%}
.classes td,.classes th{padding:.22em .8em .22em 0;max-width:14em;overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.classes tbody th{font-weight:500}
.classes thead th{color:var(--soft);font-weight:500}
.classes thead [title]{text-decoration:underline dotted;text-underline-offset:3px;cursor:help}
td.bar{width:34%;min-width:8.5em}
td.bar i,.sample i{display:inline-block;height:.55em;border-radius:.3em;
background:linear-gradient(90deg,var(--b) calc(100%*var(--w)),var(--track) 0)}
td.bar i{width:calc(100% - 5em);min-width:2.5em;margin-right:.6em}
i.hit{--b:var(--s0)}i.miss{--b:var(--s1)}i.other{--b:var(--s2)}
.pairs{color:var(--soft);margin:.8em 0 0}.pairs b{color:var(--ink);font-weight:600}
.samples{display:grid;grid-template-columns:repeat(auto-fill,minmax(104px,1fr));gap:12px;margin:.6em 0 1.4em}
.sample{background:var(--card);border:1px solid var(--line);border-radius:8px;overflow:hidden;font-size:.84rem;line-height:1.35}
.sample img{display:block;width:100%;aspect-ratio:1;object-fit:contain;background:var(--track)}
.coarse,.coarse div{image-rendering:pixelated}
.sample i{display:block;height:4px;border-radius:0}
.sample figcaption{padding:5px 8px 7px}
.sample p{margin:0;overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.sample div{position:relative}
.sample small{position:absolute;right:4px;bottom:4px;padding:0 .4em;border-radius:.7em;background:rgba(10,14,20,.72);color:#fff}
.coarse,.coarse div{image-rendering:pixelated}
.sample i{display:block;height:4px;border-radius:0}
.sample figcaption{padding:5px 8px 7px}
.sample p{display:flex;justify-content:space-between;gap:.4em;margin:0;white-space:nowrap}
.sample b,.sample p+p{overflow:hidden;text-overflow:ellipsis}.sample p+p{display:block}
.mix,.only{display:inline-flex;align-items:center;gap:.5em;margin-bottom:.8em;color:var(--soft);font-size:.9rem}
[hidden]{display:none!important}
input{accent-color:var(--accent)}
.allmaps{display:grid;gap:12px}
.pairmaps{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,270px),1fr));gap:12px}
.maps{display:grid;grid-template-columns:repeat(auto-fit,minmax(104px,1fr));gap:10px}
.maps figure{max-width:150px}
.pairmaps .maps{grid-template-columns:1fr 1fr}.pairmaps figure{max-width:none}
.maps div{aspect-ratio:var(--r);background:var(--track) var(--p) center/100% 100%;border-radius:5px;overflow:hidden;position:relative}
.maps img{position:absolute;inset:0;width:100%;height:100%}
.heat img{opacity:var(--mix,.7)}
.plain img{image-rendering:pixelated}
.maps figcaption{font-size:.82rem;padding-top:3px;overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.boundary{width:100%}
.boundary th,.boundary td{padding:.28em .7em;white-space:nowrap}
.boundary thead th{position:sticky;top:0;z-index:1;background:var(--card);color:var(--soft);font-weight:500;padding-top:.8em;
box-shadow:0 1px var(--line)}
.boundary tbody th{font-weight:500}
.boundary .site>*{border-top:1px solid var(--line)}
.boundary .none{color:var(--soft);opacity:.6}
.boundary tbody tr:hover{background:var(--bg)}
.boundary .bad,.boundary .warn{font-weight:600}
.filtered tr:not(.loses){display:none}.filtered thead tr{display:table-row!important}
.range span{font-weight:400;font-size:.8em}.range span+span{float:right;line-height:2.1}
.gauge{min-width:150px}
.gauge span{display:block;position:relative;height:8px;border-radius:4px;
background:linear-gradient(90deg,rgba(var(--miss),.3) 25%,var(--track) 0)}
.gauge span::after{content:"";position:absolute;top:-2px;left:calc((100% - 5px)*var(--w));width:5px;height:12px;border-radius:2px;
background:var(--s0)}
.gauge.over span::after,.gauge.under span::after{background:var(--bad)}
.settings{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,340px),1fr));gap:14px;align-items:start}
dl{margin:.4em 0 0;columns:2 240px;column-gap:28px;font-size:.86rem}
dl div{display:flex;justify-content:space-between;gap:1em;padding:.16em 0;border-bottom:1px solid var(--line);break-inside:avoid}
dt{color:var(--soft)}dd{margin:0;text-align:right;overflow-wrap:anywhere;min-width:0}
@media(max-width:900px){.two{grid-template-columns:minmax(0,1fr)}}
@media(max-width:520px){header,main,nav{padding-left:14px;padding-right:14px}.card{padding:12px}.tall{padding:0}
.tiles{grid-template-columns:1fr 1fr;gap:8px}.tiles b{font-size:1.35rem}.samples{grid-template-columns:repeat(3,1fr);gap:8px}
.maps{grid-template-columns:repeat(3,1fr)}.confusion td{min-width:2.5em}
td.bar{min-width:0}td.bar i{width:2.6em;min-width:0}td.bar i.other,.classes .num{display:none}}
@media(prefers-reduced-motion:reduce){html{scroll-behavior:auto}}
@media print{nav,.mix,.only,button{display:none!important}.tall{max-height:none}.card,figure{break-inside:avoid}}
)css";
}

}  // namespace demi::examples::report
