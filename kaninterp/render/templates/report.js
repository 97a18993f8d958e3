/* Adds to a page that is complete without it: path trace, readout, line filter, any edge drawn large. */
(function () {
  "use strict";
  var figure = document.querySelector(".netsvg");
  document.querySelectorAll(".js[hidden]").forEach(function (part) { part.hidden = false; });

  /* closed details: open the one a link leads into, and all of them for printing */
  function reveal() {
    var id = decodeURIComponent(location.hash.slice(1));
    var target = id && document.getElementById(id);
    var folded = target && target.closest("details");
    if (folded && !folded.open) { folded.open = true; target.scrollIntoView(); }
    if (target && target.tagName === "DETAILS") { target.open = true; }
  }
  window.addEventListener("hashchange", reveal);
  reveal();
  var opened = [];
  window.addEventListener("beforeprint", function () {
    opened = Array.prototype.slice.call(document.querySelectorAll("details:not([open])"));
    opened.forEach(function (part) { part.open = true; });
  });
  window.addEventListener("afterprint", function () { opened.forEach(function (part) { part.open = false; }); });

  if (!figure) { return; }
  var data = JSON.parse(document.getElementById("kaninterp-data").textContent);
  var net = null;
  data.sections.forEach(function (section) {
    section.blocks.forEach(function (block) { if (block.kind === "NetworkFigure") { net = block; } });
  });
  var edges = net.edges, names = {};
  net.nodes.forEach(function (node) { names[node.layer + "-" + node.index] = node.name; });

  /* graph of everything drawn, by element */
  var into = {}, from = {};
  function join(a, b, line) {
    if (!a || !b) { return; }
    (from[a.id] = from[a.id] || []).push([line, b]);
    (into[b.id] = into[b.id] || []).push([line, a]);
    line.ends = [a, b];
  }
  var byId = document.getElementById.bind(document);
  figure.querySelectorAll(".e").forEach(function (line) {
    var p = line.id.split("-");
    join(byId("node-" + p[1] + "-" + p[3]), byId("node-" + (Number(p[1]) + 1) + "-" + p[2]), line);
  });
  figure.querySelectorAll(".l").forEach(function (line) {
    var p = line.id.split("-");
    join(byId("col-" + p[2]), byId("node-0-" + p[1]), line);
  });
  function walk(start, map) {
    var queue = [start], seen = {};
    while (queue.length) {
      var here = queue.pop();
      if (seen[here.id]) { continue; }
      seen[here.id] = true;
      here.classList.add("on");
      (map[here.id] || []).forEach(function (step) {
        if (!step[0].classList.contains("low")) { step[0].classList.add("on"); queue.push(step[1]); }
      });
    }
  }
  var readout = byId("readout"), current = null, index = {};
  for (var i = 0; i < edges.layer.length; i += 1) { index["line-" + edges.layer[i] + "-" + edges.dst[i] + "-" + edges.src[i]] = i; }
  function text(value) {
    if (value === null) { return "not measured"; }
    return Number(value.toPrecision(3)).toString().replace("-", "\u2212");
  }
  function describe(item) {
    var i = index[item.id];
    if (i === undefined) { return item.getAttribute("aria-label"); }
    return item.getAttribute("aria-label") + ". " + net.readings.map(function (reading, r) {
      return reading.label + " " + text(edges.readings[r][i]);
    }).join(" · ") + " · share of the variance " + text(100 * edges.share[i]) + " %" + " · linear R² " + text(edges.r2[i]) + ".";
  }
  function clear() {
    figure.classList.remove("tracing");
    figure.querySelectorAll(".on,.at").forEach(function (part) { part.classList.remove("on", "at"); });
    current = null;
  }
  function trace(item) {
    if (item === current) { return; }
    clear();
    if (!item) { return; }
    current = item;
    figure.classList.add("tracing");
    item.classList.add("on", "at");
    if (item.ends) { walk(item.ends[0], into); walk(item.ends[1], from); } else { walk(item, into); walk(item, from); }
    readout.textContent = describe(item);
  }
  function nearest(event) {
    var offsets = [[0, 0], [0, -3], [0, 3], [-3, 0], [3, 0]];
    for (var k = 0; k < offsets.length; k += 1) {
      var hit = document.elementFromPoint(event.clientX + offsets[k][0], event.clientY + offsets[k][1]);
      var item = hit && hit.closest && hit.closest(".netsvg a");
      if (item) { return item; }
    }
    return null;
  }
  figure.addEventListener("pointermove", function (event) { trace(nearest(event)); });
  figure.addEventListener("pointerleave", function () { trace(null); });
  figure.addEventListener("focusin", function (event) { trace(event.target.closest("a")); });
  figure.addEventListener("focusout", function () { trace(null); });

  /* line filter, in the current reading */
  var fade = byId("fade"), shown = byId("fade-value");
  function level(i) {
    var picked = document.querySelector("input[name=reading]:checked").value;
    var r = net.readings.findIndex(function (reading) { return reading.key === picked; });
    var value = edges.readings[r][i], top = net.readings[r].scale[edges.layer[i]];
    return value === null || !(top > 0) ? 0 : Math.max(value, 0) / top;
  }
  function filter() {
    var limit = Number(fade.value) / 100;
    shown.textContent = fade.value + " %";
    figure.querySelectorAll(".e").forEach(function (line) { line.classList.toggle("low", level(index[line.id]) < limit); });
  }
  fade.addEventListener("input", filter);
  document.querySelectorAll("input[name=reading]").forEach(function (pick) { pick.addEventListener("change", filter); });

  /* any edge drawn large, from its numbers */
  var probe = byId("probe");
  if (!probe) { return; }
  for (i = 0; i < edges.layer.length; i += 1) {
    if (!edges.curve[i].length) { continue; }
    var option = document.createElement("option");
    option.value = i;
    option.textContent = (names[edges.layer[i] + "-" + edges.src[i]] || "?").slice(0, 40) + " → " +
      (names[edges.layer[i] + 1 + "-" + edges.dst[i]] || "?").slice(0, 40);
    probe.appendChild(option);
  }
  function part(name, attributes, content) {
    var made = document.createElementNS("http://www.w3.org/2000/svg", name);
    Object.keys(attributes).forEach(function (key) { made.setAttribute(key, attributes[key]); });
    if (content !== undefined) { made.textContent = content; }
    return made;
  }
  function draw() {
    var i = Number(probe.value), axes = net.axes[edges.layer[i]], src = edges.src[i];
    var w = axes.window[src], d = axes.domain[src], low = edges.low[i], high = edges.high[i];
    function x(v) { return 60 + 440 * (v - w[0]) / (w[1] - w[0] || 1); }
    function y(v) { return 220 - 200 * (v - low) / (high - low || 1); }
    var svg = part("svg", { viewBox: "0 0 520 300", role: "img", "aria-label": "Edge " + probe.selectedOptions[0].textContent });
    svg.appendChild(part("rect", { x: 60, y: 10, width: 440, height: 220, "class": "outer" }));
    svg.appendChild(part("rect", { x: x(d[0]), y: 10, width: x(d[1]) - x(d[0]), height: 220, "class": "zone" }));
    var most = Math.max.apply(null, axes.rug[src].map(function (bin) { return bin[2]; }).concat([0]));
    axes.rug[src].forEach(function (bin) {
      var tall = 34 * bin[2] / (most || 1);
      svg.appendChild(part("rect", { x: x(bin[0]) + 1, y: 270 - tall, width: Math.max(x(bin[1]) - x(bin[0]) - 2, 1), height: tall, "class": "rug" }));
    });
    var n = edges.curve[i].length - 1;
    var path = edges.curve[i].map(function (v, j) {
      return (j ? "L" : "M") + (60 + 440 * j / n).toFixed(1) + " " + y(low + (high - low) * v / 1000).toFixed(1);
    }).join("");
    svg.appendChild(part("path", { d: path, "class": "v" }));
    [[54, y(high) + 4, "end", high], [54, y(low) + 4, "end", low], [x(d[0]), 288, "mid", d[0]], [x(d[1]), 288, "mid", d[1]]].forEach(function (t) {
      svg.appendChild(part("text", { x: t[0], y: t[1], "class": "tick " + t[2] }, text(t[3])));
    });
    byId("probe-figure").replaceChildren(svg);
  }
  probe.addEventListener("change", draw);
  draw();
}());
