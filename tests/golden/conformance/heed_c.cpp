// heed behind a C interface, for the scripts beside it: what PyTorch's and ONNX's own tests ask of
// attention, softmax, log-softmax, logsumexp, cross-entropy and rotation. Arrays are contiguous and
// row-major. Functions return 0, or 1 with the error's text in heed_error().
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <vector>

#include <heed/heed.hpp>

namespace {

thread_local std::string last_error;

template <class Function>
int guarded(Function function) {
    try {
        function();
        return 0;
    } catch (const std::exception& error) {
        last_error = error.what();
        return 1;
    }
}

/// Calls function with a number of the scalar that a name stands for.
template <class Function>
void with_scalar(char name, Function function) {
    switch (name) {
        case 'f':
            return function(float{});
        case 'd':
            return function(double{});
        default:
            throw std::invalid_argument(std::string("no such scalar: ") + name);
    }
}

template <class Function>
void with_stored(char name, Function function) {
    switch (name) {
        case 'h':
            return function(Eigen::half{});
        case 'b':
            return function(Eigen::bfloat16{});
        default:
            return with_scalar(name, function);
    }
}

template <class T>
void copy(const Eigen::Tensor<T, 4, Eigen::RowMajor>& from, T* to) {
    std::copy_n(from.data(), from.size(), to);
}

template <class T>
auto tensor(void* data, std::int64_t a, std::int64_t b, std::int64_t c, std::int64_t d) {
    return heed::view(static_cast<T*>(data), {a, b, c, d});
}
template <class T>
auto tensor(const void* data, std::int64_t a, std::int64_t b, std::int64_t c, std::int64_t d) {
    return heed::view(static_cast<const T*>(data), {a, b, c, d});
}
template <class T>
auto matrix(const void* data, std::int64_t rows, std::int64_t columns) {
    return heed::view(static_cast<const T*>(data), {rows, columns});
}

template <class Part>
std::optional<Part> when(bool given, Part part) {
    return given ? std::optional<Part>(std::move(part)) : std::nullopt;
}

}  // namespace

extern "C" {

const char* heed_error() { return last_error.c_str(); }

struct heed_attention_call {
    std::int64_t batch, heads, kv_heads, queries, keys, dim, value_dim;
    const void *q, *k, *v;
    void* o;
    // What may be null, or stand for nothing
    const bool* seen;                 // [batch, heads, queries, keys]
    const void* bias;                 // the same, of the scalar that is computed in
    const std::int64_t* first_query;  // [batch]: where the first query stands; 0 where null
    const std::int64_t* key_lengths;  // [batch]
    void* weights;                    // [batch, heads, queries, keys]
    void* scores;                     // the same
    const void* d_o;                  // with it gradients are written
    void *dq, *dk, *dv, *d_bias;      // d_bias like the scores, always
    double scale;                     // NaN: 1/√dim
    double soft_cap;                  // 0: none
    std::int64_t left, right;         // keys seen on either side; −1: all
};

/// The scalar: f, d, h (half) or b (bfloat16). Modifiers: the soft cap, then the bias.
int heed_attention(char scalar, const heed_attention_call* call) {
    return guarded([&] {
        with_stored(scalar, [&]<class T>(T) {
            using computed = std::conditional_t<sizeof(T) == 2, float, T>;
            const heed_attention_call& c = *call;
            const auto q = tensor<T>(c.q, c.batch, c.heads, c.queries, c.dim);
            const auto k = tensor<T>(c.k, c.batch, c.kv_heads, c.keys, c.dim);
            const auto v = tensor<T>(c.v, c.batch, c.kv_heads, c.keys, c.value_dim);
            const auto o = tensor<T>(c.o, c.batch, c.heads, c.queries, c.value_dim);

            const bool positioned = c.first_query != nullptr;
            Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> at(c.batch,
                                                                                      c.queries),
                keys_at(c.batch, c.keys);
            for (std::int64_t b = 0; b < c.batch; ++b) {
                const double first = positioned ? static_cast<double>(c.first_query[b]) : 0;
                for (std::int64_t i = 0; i < c.queries; ++i)
                    at(b, i) = first + static_cast<double>(i);
                for (std::int64_t j = 0; j < c.keys; ++j) keys_at(b, j) = static_cast<double>(j);
            }
            const std::vector<std::int64_t> lengths(
                c.key_lengths, c.key_lengths + (c.key_lengths != nullptr ? c.batch : 0));
            const std::int64_t all = std::int64_t{1} << 30;

            const auto with_parts = [&](auto&& function) {
                function(
                    heed::positions(at, keys_at), when(!std::isnan(c.scale), heed::scale(c.scale)),
                    when(c.left >= 0 || c.right >= 0,
                         heed::sliding_window(c.left < 0 ? all : c.left,
                                              c.right < 0 ? all : c.right)),
                    when(c.key_lengths != nullptr, heed::key_lengths(lengths)),
                    when(c.seen != nullptr, heed::boolean_mask(heed::view(
                                                c.seen, {c.batch, c.heads, c.queries, c.keys}))),
                    when(c.soft_cap > 0, heed::soft_cap(c.soft_cap > 0 ? c.soft_cap : 1)),
                    when(c.bias != nullptr, heed::learn(heed::bias(tensor<computed>(
                                                c.bias, c.batch, c.heads, c.queries, c.keys)))));
            };
            with_parts([&](const auto&... parts) {
                const auto matrix_of = [&](void* out, const auto& function) {
                    if (out == nullptr) return;
                    if constexpr (sizeof(T) == 2)
                        throw std::invalid_argument("weights and scores are of float or double");
                    else
                        copy(function(q, k, parts...), static_cast<T*>(out));
                };
                matrix_of(c.weights,
                          [](const auto&... x) { return heed::attention_weights(x...); });
                matrix_of(c.scores, [](const auto&... x) { return heed::attention_scores(x...); });
                heed::stats_for<computed, std::decay_t<decltype(parts)>...> stats;
                heed::attention_forward_into(o, stats, q, k, v, parts...);
                if (c.d_o == nullptr) return;
                heed::attention_backward_into(
                    heed::into(tensor<T>(c.dq, c.batch, c.heads, c.queries, c.dim),
                               tensor<T>(c.dk, c.batch, c.kv_heads, c.keys, c.dim),
                               tensor<T>(c.dv, c.batch, c.kv_heads, c.keys, c.value_dim),
                               tensor<computed>(c.d_bias, c.batch, c.heads, c.queries, c.keys)),
                    tensor<T>(c.d_o, c.batch, c.heads, c.queries, c.value_dim), o, stats, q, k, v,
                    parts...);
            });
        });
    });
}

/// softmax (log = 0) or log-softmax of the rows of x; with dy the gradient for x too.
int heed_softmax(char scalar, int log, std::int64_t rows, std::int64_t columns, const void* x,
                 void* y, const void* dy, void* dx) {
    return guarded([&] {
        with_scalar(scalar, [&]<class T>(T) {
            const auto run = [&](const auto& function) {
                const auto result = heed::view(static_cast<T*>(y), {rows, columns});
                function.into(result, matrix<T>(x, rows, columns));
                if (dy != nullptr)
                    function.backward_into(heed::view(static_cast<T*>(dx), {rows, columns}),
                                           matrix<T>(x, rows, columns), matrix<T>(y, rows, columns),
                                           matrix<T>(dy, rows, columns));
            };
            if (log != 0)
                run(heed::log_softmax);
            else
                run(heed::softmax);
        });
    });
}

/// z [rows]; with dz the gradient for x too.
int heed_log_sum_exp(char scalar, std::int64_t rows, std::int64_t columns, const void* x, void* z,
                     const void* dz, void* dx) {
    return guarded([&] {
        with_scalar(scalar, [&]<class T>(T) {
            const auto numbers = heed::view(static_cast<T*>(z), {rows});
            heed::log_sum_exp.into(numbers, matrix<T>(x, rows, columns));
            if (dz != nullptr)
                heed::log_sum_exp.backward_into(heed::view(static_cast<T*>(dx), {rows, columns}),
                                                matrix<T>(x, rows, columns), numbers,
                                                heed::view(static_cast<const T*>(dz), {rows}));
        });
    });
}

/// The loss of each row, and its gradient for x where dx is not null. Targets are labels, or
/// probabilities where labels is null; weights are one a class, or null.
int heed_cross_entropy(char scalar, std::int64_t rows, std::int64_t classes, const void* x,
                       const std::int64_t* labels, const void* probabilities, const void* weights,
                       double smoothing, std::int64_t ignored, void* losses, void* dx) {
    return guarded([&] {
        with_scalar(scalar, [&]<class T>(T) {
            const std::vector<T> ones(static_cast<std::size_t>(classes), T(1));
            const auto w = heed::view(
                weights != nullptr ? static_cast<const T*>(weights) : ones.data(), {classes});
            const auto run = [&](const auto& loss, const auto& targets) {
                const auto each = heed::view(static_cast<T*>(losses), {rows});
                if (dx == nullptr)
                    loss.per_row().into(each, matrix<T>(x, rows, classes), targets);
                else
                    loss.per_row().gradient_into(each,
                                                 heed::view(static_cast<T*>(dx), {rows, classes}),
                                                 matrix<T>(x, rows, classes), targets);
            };
            if (labels == nullptr)
                run(heed::soft_cross_entropy.class_weights(w).label_smoothing(smoothing),
                    matrix<T>(probabilities, rows, classes));
            else
                run(heed::cross_entropy.class_weights(w).label_smoothing(smoothing).ignored_label(
                        ignored),
                    heed::view(labels, {rows}));
        });
    });
}

/// x [batch, heads, sequence, dim] turned by tables [rows, pairs], at positions [batch, sequence].
int heed_rotate(char scalar, int interleaved, std::int64_t batch, std::int64_t heads,
                std::int64_t sequence, std::int64_t dim, std::int64_t rows, std::int64_t pairs,
                const void* x, const void* cosines, const void* sines,
                const std::int64_t* positions, void* y) {
    return guarded([&] {
        with_scalar(scalar, [&]<class T>(T) {
            const auto turns =
                heed::rope::tables(matrix<T>(cosines, rows, pairs), matrix<T>(sines, rows, pairs),
                                   interleaved != 0 ? heed::rope::interleaved : heed::rope::halves);
            heed::rotate_into(tensor<T>(y, batch, heads, sequence, dim),
                              tensor<T>(x, batch, heads, sequence, dim), turns,
                              heed::view(positions, {batch, sequence}));
        });
    });
}

}  // extern "C"
