#pragma once

#include <cstddef>
#include <limits>

#include <heed/core/architecture.hpp>
#include <heed/core/simd.hpp>
#include <heed/rows/layouts.hpp>
#include <heed/rows/lines.hpp>
#include <heed/softmax/kernel/streaming.hpp>

/// \file
/// p = w·f(x), element by element, where f and w may depend on how many keys a row sees, and on
/// nothing else of it: no sum over a row is needed, forward or backward.
///
/// Such a function is a small value with
///
///     T number(index n) const                            c, all that depends on n
///     T factor(T c) const                                w
///     vec<T> operator()(vec<T> c, vec<T> x) const        f, 0 at −∞
///     vec<T> gradient(vec<T> c, vec<T> x, vec<T> p, vec<T> dp) const      w·f'(x)·dp
///     merge_factors<T> merge(T& c, T part) const         c of more keys; see softmax_stream::merge
///     void check_merge() const               if it may be that f of a part of the keys is another

namespace heed::inline HEED_ARCHITECTURE {

/// What backward needs of a row of an elementwise normaliser: what depends on the keys it sees.
template <class T>
struct elementwise_statistics {
    T number = T(0);
};

namespace detail {

/// For attention: w·f(s), block by block.
template <class T, class Function>
class elementwise_stream {
  public:
    using statistics = elementwise_statistics<T>;

    explicit elementwise_stream(const Function& f) : f_(f) {}

    void begin(const running_rows<T>& rows, const index* visible, index count) const {
        for (index r = 0; r < count; ++r) rows.reference[r] = f_.number(visible[r]);
    }
    void advance(const running_rows<T>&, const T* /*block_maximum*/, index) const {}

    void weigh(const running_rows<T>& rows, index r, T* scores, index first, index last) const {
        constexpr index size = vec<T>::size;
        const Function f = f_;
        const vec<T> number(rows.reference[r]);
        for (index j = first; j < last; j += 2 * size) {
            const vec<T> a = f(number, vec<T>::load(scores + j));
            const vec<T> b = f(number, vec<T>::load(scores + j + size));
            a.store(scores + j);
            b.store(scores + j + size);
        }
    }

    T finish(const running_rows<T>& rows, index r, statistics& result) const {
        result = {rows.reference[r]};
        return f_.factor(rows.reference[r]);
    }

    merge_factors<T> merge(statistics& whole, const statistics& part) const {
        return f_.merge(whole.number, part.number);
    }
    void check_merge() const {
        if constexpr (requires { f_.check_merge(); }) f_.check_merge();
    }
    bool operator==(const elementwise_stream&) const = default;

    class backward_row {
      public:
        backward_row(const Function& f, const statistics& row)
            : f_(f), number_(row.number), factor_(f.factor(row.number)) {}

        vec<T> probability(vec<T> score) const { return f_(number_, score) * factor_; }
        vec<T> gradient(vec<T> score, vec<T> p, vec<T> dp) const {
            return f_.gradient(number_, score, p, dp);
        }

      private:
        Function f_;
        vec<T> number_, factor_;
    };

    backward_row row(const statistics& row, T /*statistic*/) const { return {f_, row}; }

  private:
    Function f_;
};

/// Alone: p = w·f(x), n being the length of a row. Operands: p, x.
template <class T, class Function>
struct elementwise_rows {
    Function f;

    template <class Layout>
    void operator()(const Layout& layout, T* to, const T* from) const {
        const Function function = f;
        const vec<T> number(f.number(layout.length)), factor(f.factor(f.number(layout.length)));
        for (index l = 0; l < layout.lines; ++l) {
            const auto y = layout.template line<0>(to, l);
            const auto x = layout.template line<1>(from, l);
            for_each_vector(
                y, [&](auto at) __attribute__((always_inline)) {
                    y.store(at, function(number, x.load(at)) * factor);
                });
        }
    }
};

/// dx = w·f'(x)·dp. Operands: dx, p, dp, x.
template <class T, class Function>
struct elementwise_backward_rows {
    static constexpr bool needs_input = true;

    Function f;

    template <class Layout>
    void operator()(const Layout& layout, T* to, const T* probability, const T* gradient,
                    const T* from) const {
        const Function function = f;
        const vec<T> number(f.number(layout.length));
        for (index l = 0; l < layout.lines; ++l) {
            const auto dx = layout.template line<0>(to, l);
            const auto p = layout.template line<1>(probability, l);
            const auto dp = layout.template line<2>(gradient, l);
            const auto x = layout.template line<3>(from, l);
            for_each_vector(
                dx, [&](auto at) __attribute__((always_inline)) {
                    dx.store(at, function.gradient(number, x.load(at), p.load(at), dp.load(at)));
                });
        }
    }
};

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
