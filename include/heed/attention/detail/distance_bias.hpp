#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <heed/attention/detail/parameter_gradient.hpp>
#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/lane_numbers.hpp>
#include <heed/core/lanes.hpp>
#include <heed/core/scalar.hpp>
#include <heed/core/simd.hpp>

/// \file
/// Biases of a head and a distance j − i, from a table: a load and an addition a vector of scores,
/// whatever the formula.
///
/// A bias b says
///
///     index rows() const;             // of the table: one a head, or 1 that serves all
///     double value(index row, double distance) const;
///     static constexpr bool is_constant_beyond;   // value stays what it is at ±reach
///     void check(const attention_shape& shape) const;
///
/// and, if it can be learned,
///
///     index parameters() const;       // how many sums a row's gradient needs
///     void add(index row, double distance, double g, index first, index count, F to) const;
///         // to(p, x) with x = g·∂value/∂(parameter p), p = first … first + count − 1
///     void store(View gradient, index row, index first, index count, const double* sums) const;
///     make_gradient<T>(shape), check_gradient(gradient, shape) as modifiers have them
///
/// and if it knows a faster way, void fill(index reach, double* table) const.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// Refuses a length for which no table should be made.
template <std::integral Length>
index table_length(std::string_view part, Length length) {
    require_argument(std::cmp_greater_equal(length, 1) && std::cmp_less_equal(length, 1 << 24),
                     part, ": the length is ", length, ", but must lie between 1 and 2^24");
    return static_cast<index>(length);
}

template <class Bias>
concept learnable_bias = requires(const Bias& bias) {
    bias.parameters();
};

/// The modifier: s + b(head, j − i).
template <class Bias>
class distance_bias : public modifier_base {
  public:
    static constexpr bool is_additive = true;
    static constexpr bool by_position = true;

    /// Reads the bias for all |distance| ≤ reach.
    distance_bias(Bias bias, index reach)
        : bias_(std::move(bias)),
          reach_(reach + margin),
          wide_(static_cast<std::size_t>(bias_.rows() * width())) {
        if constexpr (requires { bias_.fill(reach_, wide_.data()); }) {
            bias_.fill(reach_, wide_.data());
        } else {
            double* to = wide_.data();
            for (index row = 0; row < bias_.rows(); ++row)
                for (index o = -reach_; o <= reach_; ++o)
                    *to++ = bias_.value(row, static_cast<double>(o));
        }
        narrow_.resize(wide_.size());
        std::transform(wide_.begin(), wide_.end(), narrow_.begin(),
                       [](double x) { return static_cast<float>(x); });
    }

    void check(const attention_shape& shape) const { bias_.check(shape); }

    template <class T>
    auto on_row(const query_row& i) const {
        const index row = row_of(i.head);
        const T* table = wide_or_narrow<T>() + row * width() + reach_;
        return
            [this, row, table, position = i.lane_position<T>()](vec<T> s, const key_lanes<T>& j) {
                const lanes<T> distance = j.position - position;
                if (in_table(distance)) return s + vec<T>::load(table + place(distance));
                return s + one_by_one(row, distance, j.count);
            };
    }

    template <class T>
    auto make_gradient(const attention_shape& shape) const requires learnable_bias<Bias> {
        return bias_.template make_gradient<T>(shape);
    }
    template <class View>
    void check_gradient(const View& gradient, const attention_shape& shape) const {
        bias_.check_gradient(gradient, shape);
    }

    /// A sum for each distance in the table, of as many terms as a block has keys; then compensated
    /// ones: of the distances beyond, and of each parameter for what is taken one by one.
    template <class T>
    index partials() const {
        return width() + 2 * lane_sum<T>::size + 2 * bias_.parameters();
    }

    template <class T, class View>
    void add_gradient(View, T* partial, const query_row& i, const key_lanes<T>& j, vec<T>, vec<T>,
                      vec<T> g) const {
        const lanes<T> distance = j.position - i.lane_position<T>();
        T* beyond = partial + width();
        if (!in_table(distance)) {
            T* sums = beyond + 2 * lane_sum<T>::size;
            return add_one_by_one(row_of(i.head), distance, j.count, g, sums);
        }
        if (Bias::is_constant_beyond && distance.base <= -reach_)
            return lane_sum<T>::add(beyond, g, vec<T>(T(1)));
        if (Bias::is_constant_beyond && distance.base > reach_ - vec<T>::size)
            return lane_sum<T>::add(beyond + lane_sum<T>::size, g, vec<T>(T(1)));
        T* to = partial + reach_ + distance.base;
        (vec<T>::load(to) + g).store(to);
    }

    template <class T, class View>
    void finish_gradient(View gradient, const T* partials, const attention_shape& shape,
                         index blocks) const {
        for (index row = 0; row < bias_.rows(); ++row) {
            for (index first = 0; first < bias_.parameters(); first += at_a_time) {
                const index count = std::min(at_a_time, bias_.parameters() - first);
                const auto sums = sum_parameters(row, first, count, partials, shape, blocks);
                bias_.template store<T>(gradient, row, first, count, sums.data());
            }
        }
    }

  private:
    /// Vectors that reach over the last distances: those of keys that are none.
    static constexpr index margin = 64;
    static constexpr index at_a_time = 64;
    using several = std::array<double, static_cast<std::size_t>(at_a_time)>;

    index width() const { return 2 * reach_ + 1; }
    index row_of(index head) const { return bias_.rows() == 1 ? 0 : head; }

    template <class T>
    const T* wide_or_narrow() const {
        if constexpr (std::is_same_v<T, float>)
            return narrow_.data();
        else
            return wide_.data();
    }

    /// Whether the lanes are distances that follow one another, and in the table.
    template <class T>
    bool in_table(const lanes<T>& distance) const {
        const bool near = Bias::is_constant_beyond ||
                          (-reach_ <= distance.base && distance.base <= reach_ - vec<T>::size);
        return near && all(distance.offset == vec<T>::iota());
    }
    template <class T>
    index place(const lanes<T>& distance) const {
        if constexpr (Bias::is_constant_beyond)
            return std::clamp(distance.base, -reach_, reach_ - vec<T>::size);
        else
            return distance.base;
    }

    /// Positions of the caller's own, and distances beyond the table.
    template <class T>
    [[gnu::noinline]] vec<T> one_by_one(index row, const lanes<T>& distance, index count) const {
        auto lane = to_array(distance.offset);
        for (std::size_t l = 0; l < lane.size(); ++l) {
            const double at = static_cast<double>(distance.base) + static_cast<double>(lane[l]);
            lane[l] = static_cast<index>(l) < count ? static_cast<T>(bias_.value(row, at)) : T(0);
        }
        return vec<T>::load(lane.data());
    }

    template <class T>
    [[gnu::noinline]] void add_one_by_one(index row, const lanes<T>& distance, index count,
                                          vec<T> g, T* sums) const {
        const auto offset = to_array(distance.offset), gradient = to_array(g);
        for (std::size_t l = 0; l < offset.size() && static_cast<index>(l) < count; ++l) {
            const double at = static_cast<double>(distance.base) + static_cast<double>(offset[l]);
            bias_.add(row, at, static_cast<double>(gradient[l]), 0, bias_.parameters(),
                      [&](index p, double term) {
                          T* sum = sums + 2 * p;  // Kahan's, and what it lost
                          const T corrected = static_cast<T>(term) - sum[1];
                          const T after = sum[0] + corrected;
                          sum[1] = (after - sum[0]) - corrected;
                          sum[0] = after;
                      });
        }
    }

    /// The gradients of some parameters of a row, over all heads that it serves.
    template <class T>
    several sum_parameters(index row, index first, index count, const T* partials,
                           const attention_shape& shape, index blocks) const {
        several sums{};
        const auto add = [&](index p, double term) {
            sums[static_cast<std::size_t>(p - first)] += term;
        };
        const auto at = [&](double distance, double g) {
            if (g != 0) bias_.add(row, distance, g, first, count, add);
        };
        const auto for_partials = [&](auto&& f) {
            const index size = this->template partials<T>();
            for (index batch = 0; batch < shape.batch; ++batch)
                for (index head = 0; head < shape.heads; ++head)
                    for (index block = 0; block < blocks && row_of(head) == row; ++block)
                        f(partials + ((batch * shape.heads + head) * blocks + block) * size);
        };

        for (index begin = 0; begin < width(); begin += at_a_time) {
            const index end = std::min(begin + at_a_time, width());
            several of_distance{};
            for_partials([&](const T* partial) {
                for (index o = begin; o < end; ++o)
                    of_distance[static_cast<std::size_t>(o - begin)] +=
                        static_cast<double>(partial[o]);
            });
            for (index o = begin; o < end; ++o)
                at(static_cast<double>(o - reach_),
                   of_distance[static_cast<std::size_t>(o - begin)]);
        }
        for_partials([&](const T* partial) {
            const T* beyond = partial + width();
            at(static_cast<double>(-reach_), lane_sum<T>::total(beyond));
            at(static_cast<double>(reach_), lane_sum<T>::total(beyond + lane_sum<T>::size));
            const T* one = beyond + 2 * lane_sum<T>::size + 2 * first;
            for (index p = 0; p < count; ++p)
                sums[static_cast<std::size_t>(p)] +=
                    static_cast<double>(one[2 * p]) - static_cast<double>(one[2 * p + 1]);
        });
        return sums;
    }

    Bias bias_;
    index reach_;                ///< how far the table reaches, both ways
    std::vector<double> wide_;   ///< [rows, width], distance 0 in the middle
    std::vector<float> narrow_;  ///< the same for floats
};

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
