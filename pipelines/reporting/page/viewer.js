"use strict";
// The trajectory viewer. Texts go in as text (textContent), never as markup.
(() => {
  const viewer = document.getElementById("viewer");
  if (!viewer) return;
  const data = JSON.parse(document.getElementById("data").textContent);
  const pick = (name) => document.getElementById(`pick-${name}`);
  const names = data.pickers; // each narrows the runs down; the last chooses a trajectory of the run that is left
  const last = names.length - 1;
  // A run's columns: what its method declares, the final advantage among them, and last the step's reward.
  const columnsOf = (run) => data.methods[run.method];

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
  const quote = (index, kind) => make("p", { class: `quote ${kind}` }, text(index));
  const subscripted = (name) => {
    const [symbol, index] = name.split("_");
    return index ? [symbol, make("sub", {}, index)] : [symbol];
  };
  const described = (column) => column.label + (column.unit ? ` (${column.unit})` : "");
  const number = (value) => (value !== 0 && Math.abs(value) < 0.001 ? value.toExponential(1) : String(+value.toFixed(3)));

  // ------------------------------------------------------------------------------------------------------- choosing

  const chosen = (upTo) => data.runs.filter((run) => names.slice(0, upTo).every((name) => String(run[name]) === pick(name).value));
  const label = (t) => t.label ?? `iteration ${t.iteration}: ${t.success ? "success" : "failure"} (${t.type})`;

  function fill(level) {
    const select = pick(names[level]);
    const before = select.value;
    const options = level === last
      ? (chosen(last)[0]?.trajectories ?? []).map((t, i) => [String(i), label(t)])
      : [...new Set(chosen(level).map((run) => String(run[names[level]])))].map((value) => [value, value]);
    select.replaceChildren(...options.map(([value, shown]) => make("option", { value }, shown)));
    if (options.some(([value]) => value === before)) select.value = before;
    if (level < last) fill(level + 1);
    else show();
  }

  // -------------------------------------------------------------------------------------------------------- showing

  function show() {
    const [run] = chosen(last);
    const trajectory = run?.trajectories[Number(pick("trajectory").value)];
    const shown = document.getElementById("shown");
    if (!trajectory) return shown.replaceChildren("Nothing was kept.");
    shown.replaceChildren(
      facts(trajectory),
      make("details", {}, make("summary", {}, "What the policy was shown first"), quote(trajectory.prompt, "prompt")),
      chart(trajectory, columnsOf(run)),
      make("ol", { class: "steps" }, ...trajectory.steps.map((s, i) => step(s, i, columnsOf(run)))),
    );
  }

  const facts = (t) => make("ul", { class: "facts" },
    make("li", { class: t.success ? "good" : "bad" }, t.success ? "success" : `failure (${t.stop.replaceAll("_", " ")})`),
    make("li", {}, `score ${number(t.score)}`),
    make("li", {}, `return ${number(t.reward)}`),
    make("li", {}, `${t.steps.length} steps`),
    make("li", {}, t.task),
  );

  const note = (s) => s.note ?? (s.valid ? "" : "invalid action");
  const step = (s, i, columns) => make("li", { class: s.valid ? "step" : "step invalid", id: `step-${i + 1}` },
    make("h4", {}, make("span", {}, `Step ${i + 1}${note(s) && ` · ${note(s)}`}`)),
    quote(s.text, "action"),
    quote(s.observation, "answer"),
    make("dl", { class: "numbers" }, ...columns.map((column, n) =>
      make("div", { title: described(column) },
        make("dt", {}, ...subscripted(column.name)), make("dd", {}, number(s.numbers[n]))))),
  );

  // ---------------------------------------------------------------------------------------------------------- chart

  const HEAD = 16, HEIGHT = 120, STRIP = 30, LEFT = 44, RIGHT = 8;

  // The final advantage (of an evaluation: the first column) as a line, and below it a strip of bars for every other declared column.
  function chart(t, columns) {
    const W = Math.min(736, document.getElementById("shown").clientWidth || 736); // letters keep their size
    const every = Math.ceil(t.steps.length * 22 / (W - LEFT)); // one step in so many is numbered
    const width = (W - LEFT - RIGHT) / t.steps.length;
    const x = (i) => LEFT + width * (i + 0.5);
    const declared = columns.map((column, n) => ({ ...column, values: t.steps.map((s) => s.numbers[n]) })).slice(0, -1);
    const final = declared.find((column) => column.name === data.final);
    const others = declared.filter((column) => column !== final);
    const H = HEAD + HEIGHT + others.length * (HEAD + STRIP) + 20;
    const plots = [plot(final, 0, HEIGHT), ...others.map((column, n) => plot(column, HEAD + HEIGHT + n * (HEAD + STRIP), STRIP))];

    function plot(column, top, height) {
      const low = Math.min(0, ...column.values), high = Math.max(0, ...column.values), span = high - low || 1;
      const y = (value) => top + HEAD + height * (high - value) / span;
      const written = (value) => draw("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, number(+value.toPrecision(2)));
      const parts = [
        draw("text", { x: LEFT, y: top + 11 }, `${column.name}: ${described(column)}`),
        draw("line", { x1: LEFT, x2: W - RIGHT, y1: y(0), y2: y(0), stroke: "var(--line)" }),
        written(high), ...(low < 0 ? [written(low)] : []),
      ];
      return { column, y, parts };
    }

    const [line, ...strips] = plots;
    const points = final.values.map((value, i) => `${x(i)},${line.y(value)}`).join(" ");
    const links = t.steps.map((s, i) => draw("a", { href: `#step-${i + 1}` },
      draw("title", {}, `Step ${i + 1}: ${declared.map((column) => `${column.name} ${number(column.values[i])}`).join(", ")}`),
      draw("rect", { x: x(i) - width / 2, y: 0, width, height: H, fill: "transparent" }),
      draw("circle", { cx: x(i), cy: line.y(final.values[i]), r: 4.5, fill: "var(--final)" }),
      ...strips.map(({ column, y }) => draw("rect", {
        x: x(i) - width * 0.35, width: width * 0.7, y: Math.min(y(0), y(column.values[i])),
        height: Math.abs(y(0) - y(column.values[i])), fill: s.valid ? "var(--bar)" : "var(--bad-bar)" })),
      draw("text", { x: x(i), y: H - 6, "text-anchor": "middle" }, i % every ? "" : String(i + 1)),
    ));
    return draw("svg", {
      class: "chart", viewBox: `0 0 ${W} ${H}`, role: "img",
      "aria-label": "Every declared column by step; the numbers stand below" },
      ...plots.flatMap((each) => each.parts),
      draw("polyline", { points, fill: "none", stroke: "var(--final)", "stroke-width": 1.8 }),
      ...links,
    );
  }

  // Who is led here from how a number was made sees that run.
  document.addEventListener("click", (event) => {
    const run = data.runs[event.target.dataset?.run];
    if (!run) return;
    for (let level = 0; level < last; level++) {
      pick(names[level]).value = String(run[names[level]]);
      fill(level + 1);
    }
  });

  names.forEach((name, level) => pick(name).addEventListener("change", () => (level < last ? fill(level + 1) : show())));
  viewer.hidden = false;
  fill(0);
  // The first cell whose credit tells the steps of a trajectory apart is shown first.
  const tellsApart = (run) => {
    const n = columnsOf(run).findIndex((column) => column.name === data.final);
    return run.trajectories.some((t) => new Set(t.steps.map((s) => s.numbers[n])).size > 1);
  };
  const first = names.includes("cell") && chosen(1).find(tellsApart);
  if (first) {
    pick("cell").value = first.cell;
    fill(2);
  }
})();
