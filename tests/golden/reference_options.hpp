#pragma once

#include <string>
#include <vector>

#include "../reference/accuracy.hpp"
#include "../reference/attention.hpp"
#include "golden.hpp"

/// \file
/// What each example of data/attention.txt and data/rope.txt asks of the reference.

namespace golden {

using reference::index;

/// The rotation of an example of data/rope.txt.
inline reference::rotation rotation_of(const example& x) {
    const auto dim = static_cast<index>(x.number("dim"));
    return {reference::plain_frequencies(dim, x.number("base")), x.number("interleaved") != 0, 1};
}

/// The positions in an array of an example.
inline reference::position_function positions_of(const example& x, const std::string& label) {
    return [at = x[label].values](index, index i) { return at[static_cast<std::size_t>(i)]; };
}

/// The options of the attention example called `name`.
inline reference::options options_of(const std::string& name, const example& x) {
    namespace r = reference;
    const index queries = x["q"].extents[2], keys = x["k"].extents[2], dim = x["q"].extents[3];
    const auto bias = [&] { return r::bias(x.reference("bias")); };
    const auto alibi = [&] { return r::alibi(x["slopes"].values, queries, keys); };
    const auto cap = [&] { return r::soft_cap(x.number("cap")); };
    const auto constant = [](double c) { return [=](index, index, index) { return c; }; };
    const auto of_visible_count = [&](auto scale) {
        return [=](index, index, index i) { return scale(i + 1 + keys - queries, dim); };
    };

    r::options how;
    if (name.starts_with("causal") || name == "documents" || name == "bias_of_heads" ||
        name == "alibi" || name == "soft_cap" || name == "modifiers_in_order" || name == "sink" ||
        name.starts_with("log_n") || (x.has("base") && !x.has("query_positions")))
        how.visible = r::causal(queries, keys);
    if (name == "causal_from_start") how.visible = r::causal_from_start();
    if (x.has("window")) {
        const auto sides = x.numbers<index>("window");
        const r::mask window = r::sliding_window(sides[0], sides[1], queries, keys);
        how.visible = how.visible ? r::both(how.visible, window) : window;
    }
    if (x.has("lengths")) how.visible = r::key_lengths(x.numbers<index>("lengths"));
    if (x.has("segments")) {
        const r::tensor ids = x.reference("segments");  // [1, 1, B, N]
        std::vector<std::vector<index>> of(static_cast<std::size_t>(ids.rows()));
        for (index b = 0; b < ids.rows(); ++b)
            for (index i = 0; i < ids.columns(); ++i)
                of[static_cast<std::size_t>(b)].push_back(static_cast<index>(ids(0, 0, b, i)));
        how.visible = r::both(how.visible, r::same_segment(of, of));
    }
    if (x.has("visible"))
        how.visible = [seen = x.reference("visible")](index b, index h, index i, index j) {
            return seen(b, h, i, j) != 0;
        };

    if (name == "modifiers_in_order") {
        how.modifiers = {bias(), cap(), alibi()};
    } else {
        if (x.has("bias")) how.modifiers = {bias()};
        if (x.has("slopes")) how.modifiers = {alibi()};
        if (x.has("cap")) how.modifiers = {cap()};
    }

    if (x.has("temperature")) how.temperature = x.number("temperature");
    if (name == "plus_one") how.sink = {0, 0};
    if (x.has("sink")) how.sink = x["sink"].values;

    if (name == "scale_of_heads")
        how.scale = [c = x["scale"].values](index, index h, index) {
            return c[static_cast<std::size_t>(h)];
        };
    if (name == "log_n")
        how.scale = of_visible_count(
            [base = x.number("base")](index n, index d) { return r::log_n_scale(n, d, base); });
    if (name == "log_n_after_training")
        how.scale = of_visible_count([length = x.number("length")](index n, index d) {
            return r::log_n_after_training_scale(n, d, length);
        });
    how.normalise_keys = name == "key_norm" || name == "cosine";
    how.normalise_queries = name == "cosine";
    if (name == "key_norm") how.scale = constant(1);
    if (name == "cosine") how.scale = constant(x.number("scale"));

    if (x.has("interleaved")) how.rotary = rotation_of(x);
    if (x.has("query_positions")) {
        how.query_position = positions_of(x, "query_positions");
        how.key_position = positions_of(x, "key_positions");
    }
    return how;
}

/// Numbers as a row.
inline reference::tensor row_of(const std::vector<double>& values) {
    reference::tensor row(1, 1, 1, static_cast<index>(values.size()));
    row.values = values;
    return row;
}

/// The sum of x over the axes on which `shape` has the extent 1.
inline reference::tensor sum_to(const reference::tensor& x, const reference::tensor& shape) {
    reference::tensor sum = zeros_like(shape);
    for_each_row(x, [&](index b, index h, index i) {
        for (index j = 0; j < x.columns(); ++j)
            sum(shape.batches() == 1 ? 0 : b, shape.heads() == 1 ? 0 : h, shape.rows() == 1 ? 0 : i,
                shape.columns() == 1 ? 0 : j) += x(b, h, i, j);
    });
    return sum;
}

}  // namespace golden
