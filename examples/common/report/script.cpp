#include "examples/common/report/sections.h"

namespace demi::examples::report {

// Values under the pointer (or the arrow keys), logarithmic axes, strength of the maps, filter of the
// boundary table. Without it the page shows everything but these.
const char* page_script() {
    return R"js(
"use strict";
for (const el of document.querySelectorAll(".mix,.only,.chart button")) el.hidden = false;
for (const chart of document.querySelectorAll(".chart")) {
  const data = JSON.parse(chart.querySelector("script").textContent), [left, top, right, bottom] = data.box;
  const tip = chart.querySelector(".tip"), pictures = chart.querySelectorAll("svg"), button = chart.querySelector("button");
  const xs = [...new Set(data.series.flatMap(s => s.x))].filter(x => x !== null).sort((a, b) => a - b);
  const show = v => data.percent ? (100 * v).toFixed(1) + " %" : String(+v.toPrecision(4));
  const nearest = (list, x) => {
    let best = -1;
    list.forEach((v, i) => { if (v !== null && (best < 0 || Math.abs(v - x) < Math.abs(list[best] - x))) best = i; });
    return best;
  };
  for (const svg of pictures) {
    const [low, high] = svg.dataset.y.split(" ").map(Number), cursor = svg.querySelector(".cursor");
    const px = x => left + (x - data.x[0]) / (data.x[1] - data.x[0]) * (right - left);
    const part = y => svg.dataset.log ? Math.log(y / low) / Math.log(high / low) : (y - low) / (high - low);
    let at = -1;
    const hide = () => { cursor.innerHTML = ""; tip.style.display = "none"; at = -1; };
    const point = i => {
      if (!xs.length) return;
      at = Math.max(0, Math.min(xs.length - 1, i));
      const x = xs[at];
      let marks = `<path d="M${px(x)} ${top}V${bottom}"/>`;
      tip.textContent = data.xlabel + " " + x;
      data.series.forEach((s, k) => {
        const n = nearest(s.x, x);
        if (n < 0) return;
        const y = s.y[n], row = document.createElement("div");
        row.className = "s" + k % 6;
        row.textContent = s.name + " " + (y === null ? "not finite" : show(y)) + (s.x[n] === x ? "" : " at " + s.x[n]);
        tip.append(row);
        if (y !== null && !(svg.dataset.log && y <= 0))
          marks += `<circle class="s${k % 6}" cx="${px(s.x[n])}" cy="${bottom - part(y) * (bottom - top)}" r="4"/>`;
      });
      cursor.innerHTML = marks;
      tip.style.display = "block";
      const place = px(x) / svg.viewBox.baseVal.width * svg.clientWidth;
      const flip = place > svg.clientWidth / 2;
      tip.style.left = Math.max(0, flip ? place - tip.offsetWidth - 10 : place + 10) + "px";
    };
    svg.addEventListener("pointermove", e => {
      const box = svg.getBoundingClientRect(), u = (e.clientX - box.left) / box.width * svg.viewBox.baseVal.width;
      point(nearest(xs, data.x[0] + (u - left) / (right - left) * (data.x[1] - data.x[0])));
    });
    svg.addEventListener("pointerleave", hide);
    svg.addEventListener("blur", hide);
    svg.addEventListener("keydown", e => {
      const step = { ArrowLeft: -1, ArrowRight: 1, Home: -1e9, End: 1e9 }[e.key];
      if (!step) return;
      e.preventDefault();
      point(at < 0 && step === -1 ? xs.length - 1 : at + step);
    });
  }
  if (button) button.addEventListener("click", () => {
    const pressed = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", pressed);
    pictures.forEach(svg => svg.classList.toggle("off", pressed !== Boolean(svg.dataset.log)));
  });
}
const mix = document.querySelector(".mix input");
if (mix) mix.addEventListener("input", () => document.querySelector(".allmaps").style.setProperty("--mix", mix.value));
const only = document.querySelector(".only input");
if (only) only.addEventListener("change", () =>
  document.querySelector(".boundary").classList.toggle("filtered", only.checked));
const links = [...document.querySelectorAll("nav a")];
const parts = links.map(a => document.querySelector(a.hash));
const mark = () => {
  let here = -1;
  parts.forEach((s, i) => { if (s.getBoundingClientRect().top < 120) here = i; });
  links.forEach((a, i) => a.classList.toggle("here", i === here));
};
addEventListener("scroll", mark, { passive: true });
mark();
)js";
}

}  // namespace demi::examples::report
