"use strict";
// The trajectory viewer. Texts go in as text (textContent), never as markup.
(() => {
  const viewer = document.getElementById("viewer");
  if (!viewer) return;
  const data = JSON.parse(document.getElementById("data").textContent);
  const pick = (name) => document.getElementById(`pick-${name}`);
  const names = ["setting", "cell", "seed", "trajectory"];
  const at = (name) => data.numbers.indexOf(name);

  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  };
  const draw = (tag, attributes = {}, ...children) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  };
  const text = (index) => data.texts[index] || "(nothing)";
  const said = (index, kind) => make("p", { class: `said ${kind}` }, text(index));
  const subscripted = (name) => {
    const [symbol, index] = name.split("_");
    return index ? [symbol, make("sub", {}, index)] : [symbol];
  };
  const number = (value) => (value !== 0 && Math.abs(value) < 0.001 ? value.toExponential(1) : String(+value.toFixed(3)));

  // ------------------------------------------------------------------------------------------------------- choosing

  const chosen = (upTo) => data.runs.filter((run) => names.slice(0, upTo).every((name) => String(run[name]) === pick(name).value));
  const label = (t) => `iteration ${t.iteration}: ${t.success ? "success" : "failure"} (${t.type})`;

  function fill(level) {
    const select = pick(names[level]);
    const before = select.value;
    const options = names[level] === "trajectory"
      ? (chosen(3)[0]?.trajectories ?? []).map((t, i) => [String(i), label(t)])
      : [...new Set(chosen(level).map((run) => String(run[names[level]])))].map((value) => [value, value]);
    select.replaceChildren(...options.map(([value, shown]) => make("option", { value }, shown)));
    if (options.some(([value]) => value === before)) select.value = before;
    if (level + 1 < names.length) fill(level + 1);
    else show();
  }

  // -------------------------------------------------------------------------------------------------------- showing

  function show() {
    const trajectory = chosen(3)[0]?.trajectories[Number(pick("trajectory").value)];
    const shown = document.getElementById("shown");
    if (!trajectory) return shown.replaceChildren("Nothing was kept.");
    shown.replaceChildren(
      facts(trajectory),
      make("details", {}, make("summary", {}, "What the policy was shown first"), said(trajectory.prompt, "prompt")),
      chart(trajectory),
      make("ol", { class: "steps" }, ...trajectory.steps.map(step)),
    );
  }

  const facts = (t) => make("ul", { class: "facts" },
    make("li", { class: t.success ? "good" : "bad" }, t.success ? "success" : `failure (${t.stop.replaceAll("_", " ")})`),
    make("li", {}, `score ${number(t.score)}`),
    make("li", {}, `return ${number(t.reward)}`),
    make("li", {}, `${t.steps.length} steps`),
    make("li", {}, t.task),
  );

  const step = (s, i) => make("li", { class: s.valid ? "step" : "step invalid", id: `step-${i + 1}` },
    make("h4", {}, make("span", {}, `Step ${i + 1}${s.valid ? "" : " · invalid action"}`)),
    said(s.text, "action"),
    said(s.observation, "answer"),
    make("dl", { class: "numbers" }, ...data.numbers.map((name, n) =>
      make("div", {}, make("dt", {}, ...subscripted(name)), make("dd", {}, number(s.numbers[n]))))),
  );

  // ---------------------------------------------------------------------------------------------------------- chart

  const TOP = 28, HEIGHT = 120, BARS = 36, LEFT = 44, RIGHT = 8, BELOW = TOP + HEIGHT + 14;

  function chart(t) {
    const W = Math.min(736, document.getElementById("shown").clientWidth || 736); // letters keep their size
    const every = Math.ceil(t.steps.length * 22 / (W - LEFT)); // step that is numbered
    const column = (name) => t.steps.map((s) => s.numbers[at(name)]);
    const final = column("A_final"), base = column("A")[0], entropy = column("H_norm");
    const low = Math.min(0, base, ...final), high = Math.max(0, base, ...final), span = high - low || 1;
    const y = (value) => TOP + HEIGHT * (high - value) / span;
    const width = (W - LEFT - RIGHT) / t.steps.length;
    const x = (i) => LEFT + width * (i + 0.5);
    const line = (value, colour, dash) => draw("line", {
      x1: LEFT, x2: W - RIGHT, y1: y(value), y2: y(value), stroke: `var(--${colour})`, "stroke-dasharray": dash });
    const written = (value) => draw("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, number(+value.toPrecision(2)));
    const points = final.map((value, i) => `${x(i)},${y(value)}`).join(" ");
    const links = final.map((value, i) => draw("a", { href: `#step-${i + 1}` },
      draw("title", {}, `Step ${i + 1}: A_final ${number(value)}, H_norm ${number(entropy[i])}`),
      draw("rect", { x: x(i) - width / 2, y: TOP, width, height: HEIGHT + 14 + BARS, fill: "transparent" }),
      draw("circle", { cx: x(i), cy: y(value), r: 4.5, fill: "var(--full)" }),
      draw("rect", {
        x: x(i) - width * 0.35, width: width * 0.7, y: BELOW + BARS * (1 - entropy[i]), height: BARS * entropy[i],
        fill: t.steps[i].valid ? "var(--bar)" : "var(--bad-bar)" }),
      draw("text", { x: x(i), y: BELOW + BARS + 14, "text-anchor": "middle" }, i % every ? "" : String(i + 1)),
    ));
    return draw("svg", {
      class: "chart", viewBox: `0 0 ${W} ${BELOW + BARS + 20}`, role: "img",
      "aria-label": "Final advantage and normalised entropy of every step; the numbers stand below" },
      draw("text", { x: LEFT, y: 11 }, "A_final by step (dashed: A); below: normalised entropy"),
      line(0, "line", "none"), line(base, "base", "5 4"), written(high), written(low),
      draw("polyline", { points, fill: "none", stroke: "var(--full)", "stroke-width": 1.8 }),
      ...links,
    );
  }

  names.forEach((name, level) => pick(name).addEventListener("change", () => (level + 1 < names.length ? fill(level + 1) : show())));
  viewer.hidden = false;
  fill(0);
  const modulated = [...pick("cell").options].find((option) => option.value.endsWith("EMPG full"));
  if (modulated) {
    modulated.selected = true;
    fill(2);
  }
})();
