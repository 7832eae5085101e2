// The bundled network in plain JavaScript: colorlib/unet.py, layer by layer.
//
// A map is one picture of many channels, { height, width, channels, data }: row after row,
// in each row pixel after pixel, of each pixel all channels,
//
//     data[(y * width + x) * channels + c]        Float32Array, (height, width, channels)
//
// so a pixel is a run of numbers, and most of the work is dot products of two runs. The
// weights come in the same order, see tools/page_weights.py. All of it is one function,
// because a page opened as a file may start a worker from a text only, not from a file.

function colorNetwork() {
  "use strict";

  function newMap(height, width, channels) {
    return { height, width, channels, data: new Float32Array(height * width * channels) };
  }

  // IEEE 754 half precision: 1 bit of sign, 5 of exponent, 10 of fraction.
  function halfToFloat(half) {
    const sign = half & 0x8000 ? -1 : 1;
    const exponent = (half >> 10) & 31, fraction = half & 1023;
    if (exponent === 0) return sign * fraction * 2 ** -24;
    return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  }

  // The content of weights.js -> { config, weights: { "stem.weight": Float32Array, ... } }.
  function unpack({ config, tensors, halves }) {
    const text = atob(halves); // base64: one character a byte
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    const codes = new Uint16Array(bytes.buffer);
    const values = Float32Array.from({ length: 65536 }, (_, half) => halfToFloat(half));
    const all = new Float32Array(codes.length);
    for (let i = 0; i < all.length; i++) all[i] = values[codes[i]];
    const weights = {};
    let start = 0;
    for (const [name, count] of tensors) weights[name] = all.subarray(start, (start += count));
    return { config, weights };
  }

  const layer = ({ weights }, name) => ({ weight: weights[`${name}.weight`], bias: weights[`${name}.bias`] });

  // out[p, o] = bias[o] + sum over k of rows[p, k] * weight[o, k].
  //
  // Two rows by four outputs at a time: of each six numbers read, eight products are made.
  // A last row without a partner is computed twice; so are outputs if they are not 4 n.
  function matrixProduct(rows, { weight, bias }, count, out, start = 0) {
    const outputs = bias.length, depth = weight.length / outputs;
    for (let p = 0; p < count; p += 2) {
      const q = Math.min(p + 1, count - 1);
      for (let next = 0; next < outputs; next += 4) {
        const o = Math.min(next, outputs - 4);
        let p0 = bias[o], p1 = bias[o + 1], p2 = bias[o + 2], p3 = bias[o + 3];
        let q0 = p0, q1 = p1, q2 = p2, q3 = p3;
        let i = p * depth, j = q * depth;
        let a = o * depth, b = a + depth, c = b + depth, d = c + depth;
        for (const end = i + depth; i < end; i++, j++, a++, b++, c++, d++) {
          const x = rows[i], y = rows[j];
          const wa = weight[a], wb = weight[b], wc = weight[c], wd = weight[d];
          p0 += x * wa; p1 += x * wb; p2 += x * wc; p3 += x * wd;
          q0 += y * wa; q1 += y * wb; q2 += y * wc; q3 += y * wd;
        }
        const toP = start + p * outputs + o, toQ = start + q * outputs + o;
        out[toP] = p0; out[toP + 1] = p1; out[toP + 2] = p2; out[toP + 3] = p3;
        out[toQ] = q0; out[toQ + 1] = q1; out[toQ + 2] = q2; out[toQ + 3] = q3;
      }
    }
  }

  // A convolution by 1x1 is a matrix product: each pixel is a row.
  function convolve1x1(map, layer) {
    const out = newMap(map.height, map.width, layer.bias.length);
    matrixProduct(map.data, layer, map.height * map.width, out.data);
    return out;
  }

  // A border of one pixel of zeros: (H, W, C) -> (H + 2, W + 2, C).
  function pad({ height, width, channels, data }) {
    const out = newMap(height + 2, width + 2, channels);
    const run = width * channels;
    for (let y = 0; y < height; y++) {
      out.data.set(data.subarray(y * run, (y + 1) * run), ((y + 1) * out.width + 1) * channels);
    }
    return out;
  }

  // A convolution by 3x3, padded: the neighbourhood of each pixel of a row is laid out as
  // one run of 9 C numbers ("im2col"); then it is a matrix product, too.
  function convolve3x3(map, layer, stride = 1) {
    const C = map.channels, padded = pad(map);
    const out = newMap(Math.ceil(map.height / stride), Math.ceil(map.width / stride), layer.bias.length);
    const patches = new Float32Array(out.width * 9 * C); // (width, 3, 3, C)
    for (let y = 0; y < out.height; y++) {
      for (let x = 0; x < out.width; x++) {
        for (let ky = 0; ky < 3; ky++) {
          const from = ((y * stride + ky) * padded.width + x * stride) * C;
          patches.set(padded.data.subarray(from, from + 3 * C), (x * 3 + ky) * 3 * C);
        }
      }
      matrixProduct(patches, layer, out.width, out.data, y * out.width * out.channels);
    }
    return out;
  }

  // Each channel by a 3x3 of its own, padded. Weights: (3, 3, C).
  function depthwise3x3(map, { weight, bias }, stride) {
    const C = map.channels, { data, width } = pad(map);
    const out = newMap(Math.ceil(map.height / stride), Math.ceil(map.width / stride), C);
    const steps = [0, 1, 2].flatMap((ky) => [0, 1, 2].map((kx) => (ky * width + kx) * C));
    for (let y = 0, to = 0; y < out.height; y++) {
      for (let x = 0; x < out.width; x++) {
        const from = (y * width + x) * stride * C;
        for (let c = 0; c < C; c++) {
          let sum = bias[c];
          for (let k = 0; k < 9; k++) sum += data[from + steps[k] + c] * weight[k * C + c];
          out.data[to++] = sum;
        }
      }
    }
    return out;
  }

  // In place: what is below 0 becomes 0, above 6 it becomes 6.
  function relu6(map) {
    const { data } = map;
    for (let i = 0; i < data.length; i++) data[i] = Math.min(Math.max(data[i], 0), 6);
    return map;
  }

  // Where the pixels of one line lie on another, by their centres: between which two.
  function positions(from, to) {
    return Array.from({ length: to }, (_, i) => {
      const place = Math.min(Math.max(((i + 0.5) * from) / to - 0.5, 0), from - 1);
      const before = Math.floor(place);
      return { before, after: Math.min(before + 1, from - 1), part: place - before };
    });
  }

  // Bilinear: (H, W, C) -> (height, width, C).
  function upsample({ height: H, width: W, channels: C, data }, height, width) {
    const out = newMap(height, width, C), columns = positions(W, width);
    let to = 0;
    for (const row of positions(H, height)) {
      for (const column of columns) {
        const a = (row.before * W + column.before) * C, b = (row.before * W + column.after) * C;
        const c = (row.after * W + column.before) * C, d = (row.after * W + column.after) * C;
        for (let i = 0; i < C; i++) {
          const upper = data[a + i] + column.part * (data[b + i] - data[a + i]);
          const lower = data[c + i] + column.part * (data[d + i] - data[c + i]);
          out.data[to++] = upper + row.part * (lower - upper);
        }
      }
    }
    return out;
  }

  // The channels of one, then those of the other: (H, W, C) and (H, W, D) -> (H, W, C + D).
  function concatenate(one, other) {
    const C = one.channels, D = other.channels;
    const out = newMap(one.height, one.width, C + D);
    for (let p = 0; p < one.height * one.width; p++) {
      out.data.set(one.data.subarray(p * C, (p + 1) * C), p * (C + D));
      out.data.set(other.data.subarray(p * D, (p + 1) * D), p * (C + D) + C);
    }
    return out;
  }

  // Widen by 1x1, convolve each channel by 3x3, narrow by 1x1; add the input.
  function invertedResidual(net, name, map, expansion, stride) {
    let wide = map;
    if (expansion > 1) wide = relu6(convolve1x1(map, layer(net, `${name}.expand`)));
    wide = relu6(depthwise3x3(wide, layer(net, `${name}.depthwise`), stride));
    const narrow = convolve1x1(wide, layer(net, `${name}.project`));
    const addsInput = stride === 1 && narrow.channels === map.channels;
    if (addsInput) map.data.forEach((value, i) => { narrow.data[i] += value; });
    return narrow;
  }

  // L_norm (height * width) in [-1, 1] -> what the network thinks of each bin of the ab
  // plane, (height / 4, width / 4, 261). The picture goes in turned by half a turn, as in
  // ColorUNet.logits: with a single channel that is the reverse of its numbers.
  function logits(net, L_norm, height, width, report = () => {}) {
    const { stages, decoder } = net.config;
    const turned = { height, width, channels: 1, data: L_norm.slice().reverse() };
    let map = relu6(convolve3x3(turned, layer(net, "stem"), 2)); // (H/2, W/2, 32)
    const blocks = stages.flatMap(([expansion, , count, stride]) =>
      Array.from({ length: count }, (_, i) => [expansion, i === 0 ? stride : 1]));
    const skips = []; // the last map before each halving
    blocks.forEach(([expansion, stride], i) => {
      if (stride === 2) skips.push(map);
      map = invertedResidual(net, `blocks.${i}`, map, expansion, stride); // to (H/32, W/32, 320)
      report((0.4 * (i + 1)) / blocks.length); // the decoder takes longer
    });
    decoder.forEach((_, i) => {
      const skip = i > 0 && skips.pop(); // the coarsest grid has none
      if (skip) map = concatenate(upsample(map, skip.height, skip.width), skip);
      map = relu6(convolve3x3(map, layer(net, `decoder.${i}`))); // to (H/4, W/4, 128)
      report(0.4 + (0.6 * (i + 1)) / decoder.length);
    });
    return convolve1x1(map, layer(net, "head")); // (H/4, W/4, 261)
  }

  // What answering one colour costs where another is the true one, see colorlib/bins.py:
  // how far it is off, at most 1, and `caution` for each unit by which gray is nearer.
  const SIMILAR = 20, TIE = 0.03;
  function losses(centres, caution) { // (Q answers, Q true colours), from (Q, 2) in Lab units
    const Q = centres.length / 2, loss = new Float32Array(Q * Q);
    for (let answer = 0; answer < Q; answer++) {
      for (let real = 0; real < Q; real++) {
        const a = centres[2 * real], b = centres[2 * real + 1];
        const off = Math.hypot(centres[2 * answer] - a, centres[2 * answer + 1] - b);
        const worse = Math.max(0, off - Math.hypot(a, b));
        loss[answer * Q + real] = 1 - Math.exp(-(off ** 2) / (2 * SIMILAR ** 2)) + caution * worse;
      }
    }
    return loss;
  }

  // In place: each pixel's numbers become exp(number / temperature), their sum 1.
  function softmax({ channels, data }, temperature) {
    for (let start = 0; start < data.length; start += channels) {
      const pixel = data.subarray(start, start + channels);
      const highest = pixel.reduce((x, y) => Math.max(x, y));
      let total = 0;
      for (let q = 0; q < channels; q++) total += pixel[q] = Math.exp((pixel[q] - highest) / temperature);
      for (let q = 0; q < channels; q++) pixel[q] /= total;
    }
  }

  // Logits -> planes of a and b in Lab units: the colours of the least expected loss. A
  // product with the losses is a convolution by 1x1, too.
  function cautiousColour({ weights: { centres } }, logits, temperature, caution) {
    const Q = logits.channels, count = logits.height * logits.width;
    const shares = { ...logits, data: logits.data.slice() };
    softmax(shares, temperature);
    const gains = losses(centres, caution).map((loss) => -loss);
    const choice = convolve1x1(shares, { weight: gains, bias: new Float32Array(Q) });
    softmax(choice, TIE); // nearly all of it for the least loss
    const a = new Float32Array(count), b = new Float32Array(count);
    for (let p = 0; p < count; p++) {
      for (let q = 0; q < Q; q++) {
        a[p] += choice.data[p * Q + q] * centres[2 * q];
        b[p] += choice.data[p * Q + q] * centres[2 * q + 1];
      }
    }
    return { height: logits.height, width: logits.width, a: a.reverse(), b: b.reverse() }; // turned back
  }

  return { unpack, positions, logits, cautiousColour };
}
