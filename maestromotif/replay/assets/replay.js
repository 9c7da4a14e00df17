// Plays the episode in #replay-data and draws skill, gains, losses and depth under it. Click or drag on the tracks to seek.
(() => {
  "use strict";
  const data = JSON.parse(document.getElementById("replay-data").textContent);
  const root = document.getElementById("replay");
  const canvas = root.querySelector(".tracks canvas");
  const now = root.querySelector(".now");
  const steps = data.skill.length;
  const rate = data.stepsPerSecond;
  const player = AsciinemaPlayer.create({ data: atob(data.cast) }, root.querySelector(".screen"), {
    fit: "width", preload: true, controls: true, cursorMode: "steady", theme: "asciinema",
  });
  let step = 0;

  const band = 22, reward = 46, depth = 42, gap = 8;  // CSS pixels of the three tracks
  const height = band + reward + depth + 2 * gap;

  function colourOf(name) {
    return getComputedStyle(root).getPropertyValue("--" + name).trim();
  }

  function draw() {
    const ratio = window.devicePixelRatio || 1, width = canvas.clientWidth;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const g = canvas.getContext("2d");
    g.scale(ratio, ratio);
    const x = (t) => (t / steps) * width;
    const palette = data.colours.map(colourOf);
    for (let start = 0; start < steps;) {
      let stop = start + 1;
      while (stop < steps && data.skill[stop] === data.skill[start]) stop++;
      g.fillStyle = palette[data.skill[start]];
      g.fillRect(x(start), 0, Math.max(1, x(stop) - x(start)), band);
      start = stop;
    }
    // Gains go up from the line of 0, losses down, on one scale.
    const most = data.reward.reduce((a, b) => Math.max(a, b), 0), least = data.reward.reduce((a, b) => Math.min(a, b), 0);
    const scale = (reward - 2) / Math.max(most - least, 1e-9), floor = band + gap + reward;
    const zero = floor + least * scale;
    g.fillStyle = colourOf("line");
    g.fillRect(0, zero, width, 1);
    const gain = colourOf("gain"), loss = colourOf("loss");
    data.reward.forEach((value, t) => {
      g.fillStyle = value > 0 ? gain : loss;
      g.fillRect(x(t), value > 0 ? zero - value * scale : zero, Math.max(1.5, x(1)), Math.abs(value) * scale);
    });
    const lowest = data.depth.reduce((a, b) => Math.min(a, b)), deepest = data.depth.reduce((a, b) => Math.max(a, b));
    const y = (level) => floor + gap + 15 + ((level - lowest) / Math.max(1, deepest - lowest)) * (depth - 19);
    g.strokeStyle = colourOf("ink");
    g.lineWidth = 1.5;
    g.beginPath();
    data.depth.forEach((level, t) => { g.lineTo(x(t), y(level)); g.lineTo(x(t + 1), y(level)); });
    g.stroke();
    g.fillStyle = colourOf("muted");
    g.font = "11px system-ui, sans-serif";
    let written = -99;  // right end of the last number, so that numbers do not run into each other
    data.depth.forEach((level, t) => {
      if ((t === 0 || level !== data.depth[t - 1]) && x(t) > written + 4) {
        g.fillText(String(level), x(t) + 3, y(level) - 4);
        written = x(t) + 3 + g.measureText(String(level)).width;
      }
    });
    g.fillStyle = colourOf("cursor");
    g.fillRect(x(step + 0.5) - 1, 0, 2, height);
  }

  function tell() {
    const value = (label, text, css) => {
      const cell = document.createElement("span");
      cell.innerHTML = "<b></b> <span></span>";
      cell.firstChild.textContent = label;
      cell.lastChild.textContent = text;
      if (css) cell.className = css;
      return cell;
    };
    now.replaceChildren(
      value("step", `${step} of ${steps - 1}`),
      value("skill", data.skills[data.skill[step]], "chip " + data.colours[data.skill[step]]),
      value("depth", data.depth[step]),
      value("reward", data.reward[step].toFixed(3), data.reward[step] < 0 ? "losing" : ""),
      value("message", data.messages[step] || "–", "message"),
    );
  }

  function show(next) {
    step = Math.max(0, Math.min(steps - 1, next));
    draw();
    tell();
    root.dataset.step = String(step);
  }

  // A seek lands a little after the step's own time, so that rounding cannot show the step before.
  async function seek(next) {
    const target = Math.max(0, Math.min(steps - 1, next));
    await player.seek((target + 0.25) / rate);
    show(target);
  }

  function stepAt(event) {
    const box = canvas.getBoundingClientRect();
    return Math.floor(((event.clientX - box.left) / box.width) * steps);
  }

  // Somebody who seeks wants to see the screen, not the large play button over it.
  function go(next) {
    root.classList.add("sought");
    return seek(next);
  }

  canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); go(stepAt(event)); });
  canvas.addEventListener("pointermove", (event) => { if (event.buttons) go(stepAt(event)); });
  root.querySelectorAll("button[data-step]").forEach((button) =>
    button.addEventListener("click", () => go(Number(button.dataset.step))));
  window.addEventListener("resize", draw);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);

  setInterval(async () => {
    const at = Math.floor(((await player.getCurrentTime()) || 0) * rate + 1e-3);
    if (Math.min(at, steps - 1) !== step) show(at);
  }, 100);

  show(0);
  // Show the first screen instead of a black one. (A poster would be shorter to write, but the player's posters
  // leave rows out after a later seek.)
  seek(0).then(() => { document.body.dataset.ready = "yes"; });
})();
