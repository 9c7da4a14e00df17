// Plays the episodes of the page: terminal, skill lanes, messages, and why each call of a skill began.
(() => {
  "use strict";

  const LANE = 36, AXIS = 18, GAP = 4;  // CSS pixels, as in replay.css
  const RECENT = 6;  // messages to show

  async function unpack(text) {
    const bytes = Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).json();
  }

  // Texts of the game and of programs reach the page through textContent alone.
  function element(name, text, css) {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (css) made.className = css;
    return made;
  }

  async function open(root) {
    const data = await unpack(root.querySelector("script.data").textContent);
    const find = (css) => root.querySelector(css);
    const slider = find(".seek"), canvas = find(".seek canvas");
    const steps = data.action.length, rate = data.stepsPerSecond;
    const callOf = new Int32Array(steps + 1);
    data.skill = new Array(steps).fill(0);
    data.calls.forEach((call) => data.skill.fill(call.skill, call.start, call.stop));
    data.calls.forEach((call, number) => callOf.fill(number, call.start, call.stop + 1));
    const told = [];  // steps with a message
    data.messages.forEach((text, step) => { if (text) told.push(step); });
    const total = new Float64Array(steps + 1);
    data.reward.forEach((value, step) => { total[step + 1] = total[step] + value; });

    // A poster would be shorter to write, but the player's posters leave rows out after a later seek.
    const player = AsciinemaPlayer.create({ data: data.cast }, find(".screen"), {
      fit: "width", preload: true, controls: false, cursorMode: "steady", theme: "asciinema",
    });
    let step = 0, shown = -1, moving = null, playing = false, before = 0, position = 0;

    // ------------------------------------------------------------------------------------------ the lanes

    const heightOf = () => (data.lanes.length + 3) * (LANE + GAP) + AXIS;
    const top = (lane) => lane * (LANE + GAP);
    const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();

    function draw() {
      const ratio = window.devicePixelRatio || 1, width = canvas.clientWidth, height = heightOf();
      if (!width) return;
      canvas.style.height = `${height}px`;
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
      const g = canvas.getContext("2d");
      g.scale(ratio, ratio);
      const x = (at) => (at / steps) * width;
      for (let lane = 0; lane < data.lanes.length + 3; lane++) {
        g.fillStyle = colour("--r-soft");
        g.fillRect(0, top(lane), width, LANE);
      }
      drawSkills(g, x, width);
      drawLine(g, x, top(data.lanes.length), total, colour("--r-ink"), true);
      drawLine(g, x, top(data.lanes.length + 1), data.depth.map((depth) => -depth), colour("--r-ink"), false);
      drawHitPoints(g, x, top(data.lanes.length + 2));
      drawAxis(g, x, width, height);
      g.fillStyle = colour("--r-cursor");
      g.fillRect(Math.min(width - 2, Math.max(0, x(step) - 1)), 0, 2, height - AXIS);
    }

    function drawSkills(g, x, width) {
      data.lanes.forEach((skill, lane) => {
        // Each lane has its own scale: the largest reward of its skill fills it.
        const largest = data.reward.reduce((most, value, at) => data.skill[at] === skill ? Math.max(most, Math.abs(value)) : most, 1e-9);
        const middle = top(lane) + LANE / 2, half = LANE / 2 - 2;
        g.fillStyle = colour("--" + data.colours[skill]);
        for (const call of data.calls) {
          if (call.skill !== skill) continue;
          const left = x(call.start), wide = Math.max(1, x(call.stop) - left);
          g.globalAlpha = 0.22;
          g.fillRect(left, top(lane), wide, LANE);
          g.globalAlpha = 1;
          g.fillRect(left, middle - 0.5, wide, 1);
          g.fillRect(left, top(lane), 1, LANE);  // so that calls of the same skill stay apart
          // Bars of the largest gain and loss in each pixel, so that none is lost in a long episode.
          const bar = Math.max(1.5, width / steps - 0.5);
          const up = new Map(), down = new Map();
          for (let at = call.start; at < call.stop; at++) {
            const value = data.reward[at], pixel = steps > width ? Math.floor(x(at)) : x(at);
            if (value > 0) up.set(pixel, Math.max(up.get(pixel) || 0, value));
            if (value < 0) down.set(pixel, Math.max(down.get(pixel) || 0, -value));
          }
          up.forEach((value, at) => g.fillRect(at, middle - Math.max(2, half * value / largest), bar, Math.max(2, half * value / largest)));
          down.forEach((value, at) => g.fillRect(at, middle, bar, Math.max(2, half * value / largest)));
        }
      });
    }

    // `values` has an entry a frame; a line that steps, or one that rises and falls.
    function drawLine(g, x, y, values, ink, slopes) {
      let low = values[0], high = values[0];
      for (const value of values) { low = Math.min(low, value); high = Math.max(high, value); }
      const at = (value) => high === low ? y + LANE / 2 : y + LANE - 4 - (LANE - 8) * (value - low) / (high - low);
      g.strokeStyle = ink;
      g.lineWidth = 1.5;
      g.beginPath();
      for (let frame = 0; frame <= steps; frame++) {
        if (!slopes && frame) g.lineTo(x(frame), at(values[frame - 1]));
        g.lineTo(x(frame), at(values[frame]));
      }
      g.stroke();
    }

    function drawHitPoints(g, x, y) {
      const most = Math.max(1, ...data.maxHp);
      const at = (value) => y + LANE - (LANE - 2) * Math.max(0, value) / most;
      g.fillStyle = colour("--r-health");
      g.beginPath();
      g.moveTo(0, y + LANE);
      for (let frame = 0; frame <= steps; frame++) {
        if (frame) g.lineTo(x(frame), at(data.hp[frame - 1]));
        g.lineTo(x(frame), at(data.hp[frame]));
      }
      g.lineTo(x(steps), y + LANE);
      g.fill();
    }

    function drawAxis(g, x, width, height) {
      const about = steps / Math.max(2, Math.floor(width / 90));
      const power = 10 ** Math.floor(Math.log10(Math.max(1, about)));
      const apart = power * [1, 2, 5, 10].find((times) => times * power >= about);
      g.fillStyle = colour("--r-muted");
      g.font = "11px system-ui, sans-serif";
      g.textBaseline = "bottom";
      for (let at = 0; at <= steps; at += apart) {
        const text = at ? String(at) : "step 0", wide = g.measureText(text).width;
        const left = Math.min(width - wide, Math.max(0, x(at) - (at ? wide / 2 : 0)));
        g.fillRect(Math.min(width - 1, x(at)), height - AXIS, 1, 3);
        g.fillText(text, left, height - 1);
      }
    }

    // --------------------------------------------------------------------------------- what is at a step

    function tell() {
      const call = data.calls[callOf[step]], over = step === steps;
      const rows = [
        ["step", `${step} of ${steps}`],
        ["skill", data.skills[call.skill], "key " + data.colours[call.skill]],
        ["action", over ? "–" : data.actions[data.action[step]]],
        ["reward", over ? "–" : data.reward[step].toFixed(3)],
        ["total so far", total[step].toFixed(2)],
        ["depth", String(data.depth[step])],
        ["hit points", `${data.hp[step]} of ${data.maxHp[step]}`],
      ];
      find(".now").replaceChildren(...rows.flatMap(([label, text, css]) => {
        const cell = element("dd");
        const value = element("span", text, css);
        if (css) value.prepend(element("i"));
        cell.append(value);
        if (label === "hit points") {
          const meter = element("span", undefined, "meter"), part = element("i");
          part.style.width = `${100 * Math.max(0, Math.min(1, data.hp[step] / Math.max(1, data.maxHp[step])))}%`;
          meter.append(part);
          cell.append(meter);
        }
        return [element("dt", label), cell];
      }));
      find(".where").textContent = `step ${step} of ${steps}`;
      tellMessages();
      tellWhy(call, over);
      slider.setAttribute("aria-valuenow", step);
      slider.setAttribute("aria-valuetext", `step ${step} of ${steps}, ${data.skills[call.skill]}, depth ${data.depth[step]}`);
    }

    function tellMessages() {
      let last = told.length;
      while (last && told[last - 1] > step) last--;
      find(".log").replaceChildren(...told.slice(Math.max(0, last - RECENT), last).reverse().map((at) => {
        const item = element("li", undefined, at === step ? "present" : "");
        const button = element("button", String(at));
        button.type = "button";
        button.addEventListener("click", () => go(at));
        item.append(button, element("span", data.messages[at]));
        return item;
      }));
    }

    function tellWhy(call, over) {
      const number = data.calls.indexOf(call);
      if (find(".why").dataset.call === `${number} ${over}`) return;
      find(".why").dataset.call = `${number} ${over}`;
      const row = find(`.scroll tbody tr:nth-child(${number + 1})`), box = find(".scroll");
      root.querySelectorAll(".scroll tr.present").forEach((one) => one.classList.remove("present"));
      row.classList.add("present");
      // Only the table scrolls, not the page.
      if (row.offsetTop < box.scrollTop + 30) box.scrollTop = row.offsetTop - 30;
      else if (row.offsetTop + row.offsetHeight > box.scrollTop + box.clientHeight) box.scrollTop = row.offsetTop + row.offsetHeight - box.clientHeight;
      const heading = element("span", data.skills[call.skill], "key " + data.colours[call.skill]);
      heading.prepend(element("i"));
      find(".why h4").replaceChildren(
        number ? "Why did it switch to " : "Why did it begin with ", heading, ` at step ${call.start}?`);
      find(".why p").textContent = call.why + (over ? ` The last call ended with the episode: ${data.end}.` : "");
      find(".why th:nth-child(2)").hidden = !number;  // no call came before
      find(".why th:nth-child(3)").textContent = number ? "just before the switch" : "value";
      find(".why table").hidden = !call.fields.length;
      find(".why tbody").replaceChildren(...call.fields.map(([name, value, before, readers]) => {
        const row = element("tr", undefined, before === null && number ? "same" : "");
        const field = element("td"), code = element("code", name);
        code.title = data.fields[name] || "";
        field.append(code, element("small", readers));
        row.append(field, ...(number ? [element("td", before === null ? value : before)] : []), element("td", value));
        return row;
      }));
    }

    // -------------------------------------------------------------------------------------------- moving

    function show(next) {
      step = next;
      draw();
      tell();
      root.dataset.wanted = String(step);
      moving = moving || follow();
    }

    // The player's seeks take time: it follows, and leaves out steps that are no longer wanted.
    async function follow() {
      while (shown !== step) {
        const target = step;
        // A little after the step's own time, so that rounding cannot show the step before.
        await player.seek((target + 0.25) / rate);
        shown = target;
        root.dataset.step = String(shown);
      }
      moving = null;
    }

    function go(next) {
      const target = Math.max(0, Math.min(steps, next));
      position = target;
      if (target !== step) show(target);
    }

    function play(on) {
      if (on && step === steps) go(0);
      playing = on;
      position = step;
      before = performance.now();
      root.dataset.playing = on ? "yes" : "no";
      if (on) requestAnimationFrame(tick);
    }

    function tick(now) {
      if (!playing) return;
      if (root.hidden) { play(false); return; }
      // The first frame may be older than the click that started the play.
      const seconds = Math.min(0.5, Math.max(0, now - before) / 1000);
      position = Math.min(steps, position + seconds * Number(find(".speed").value));
      before = Math.max(before, now);
      const next = Math.floor(position);
      if (next !== step) show(next);
      if (next === steps) play(false);
      else requestAnimationFrame(tick);
    }

    const nextSwitch = () => (data.calls.find((call) => call.start > step) || { start: steps }).start;
    const switchBefore = () => (data.calls.findLast((call) => call.start < step) || { start: 0 }).start;

    const actions = {
      before: () => go(switchBefore()), next: () => go(nextSwitch()),
      back: () => go(step - 1), on: () => go(step + 1), play: () => play(!playing),
    };
    const keys = {
      ArrowLeft: (event) => go(step - (event.shiftKey ? 10 : 1)),
      ArrowRight: (event) => go(step + (event.shiftKey ? 10 : 1)),
      "[": actions.before, "]": actions.next, " ": actions.play, Home: () => go(0), End: () => go(steps),
    };

    // On a page of its own a replay hears every key; inside a report only while it has the focus.
    (root.closest(".alone") ? document : root).addEventListener("keydown", (event) => {
      const on = event.target instanceof Element ? event.target : document.body;
      if (root.hidden || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
      if (on.closest("input, select, textarea, [role=tab]")) return;
      if (event.key === " " && on.closest("button, summary, a")) return;
      const act = keys[event.key];
      if (!act) return;
      event.preventDefault();
      act(event);
    });

    root.querySelectorAll("[data-do]").forEach((button) =>
      button.addEventListener("click", () => actions[button.dataset.do]()));
    root.querySelectorAll("button[data-step]").forEach((button) =>
      button.addEventListener("click", () => go(Number(button.dataset.step))));
    find(".screen").addEventListener("click", () => { slider.focus({ preventScroll: true }); play(!playing); });

    const stepAt = (event) => {
      const box = canvas.getBoundingClientRect();
      return Math.floor(((event.clientX - box.left) / box.width) * steps + 1e-6);
    };
    slider.addEventListener("pointerdown", (event) => { slider.setPointerCapture(event.pointerId); play(false); go(stepAt(event)); });
    slider.addEventListener("pointermove", (event) => { if (event.buttons) go(stepAt(event)); });
    new ResizeObserver(draw).observe(slider);
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);

    show(0);
    await moving;
  }

  const opened = new Map();
  function ready(root) {
    if (!opened.has(root)) opened.set(root, root.querySelector("script.data") ? open(root) : Promise.resolve());
    return opened.get(root);
  }

  // Tabs as in https://www.w3.org/WAI/ARIA/apg/patterns/tabs/; an episode is unpacked when its tab is opened.
  const tabs = [...document.querySelectorAll(".replays [role=tab]")];
  function choose(tab) {
    for (const one of tabs) {
      one.setAttribute("aria-selected", String(one === tab));
      one.tabIndex = one === tab ? 0 : -1;
      document.getElementById(one.getAttribute("aria-controls")).hidden = one !== tab;
    }
    return ready(document.getElementById(tab.getAttribute("aria-controls")));
  }
  tabs.forEach((tab, number) => {
    tab.addEventListener("click", () => choose(tab));
    tab.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!by) return;
      event.preventDefault();
      const next = tabs[(number + by + tabs.length) % tabs.length];
      next.focus();
      choose(next);
    });
  });
  const first = document.querySelector(".replays .replay");
  (first ? ready(first) : Promise.resolve()).then(() => { document.body.dataset.ready = "yes"; });
})();
