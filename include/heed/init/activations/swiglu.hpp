#pragma once

#include <cstddef>
#include <type_traits>
#include <utility>

#include <heed/core/architecture.hpp>
#include <heed/core/overlap.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/storage.hpp>
#include <heed/core/view.hpp>
#include <heed/init/activations/silu.hpp>
#include <heed/rows/lines.hpp>
#include <heed/rows/row_arguments.hpp>
#include <heed/rows/rows.hpp>

/// \file
/// SwiGLU: what one projection lets through of another.

namespace heed::inline HEED_ARCHITECTURE {

/// What backward of heed::swiglu gives.
template <class A, class B>
struct swiglu_gradient {
    A a;
    B b;
};

namespace detail {

/// y = silu(a) ⊙ b. Operands: y, a, b.
struct swiglu_rows {
    template <class Layout, class T>
    void operator()(const Layout& layout, T* to, const T* gate, const T* value) const {
        for (index l = 0; l < layout.lines; ++l) {
            const auto y = layout.template line<0>(to, l);
            const auto a = layout.template line<1>(gate, l);
            const auto b = layout.template line<2>(value, l);
            for_each_vector(
                y, [&](auto at) __attribute__((always_inline)) {
                    y.store(at, silu(a.load(at)) * b.load(at));
                });
        }
    }
};

/// da = dy ⊙ b ⊙ silu'(a), db = dy ⊙ silu(a). Operands: da, db, a, b, dy.
struct swiglu_backward_rows {
    template <class Layout, class T>
    void operator()(const Layout& layout, T* to_a, T* to_b, const T* gate, const T* value,
                    const T* gradient) const {
        for (index l = 0; l < layout.lines; ++l) {
            const auto da = layout.template line<0>(to_a, l);
            const auto db = layout.template line<1>(to_b, l);
            const auto a = layout.template line<2>(gate, l);
            const auto b = layout.template line<3>(value, l);
            const auto dy = layout.template line<4>(gradient, l);
            for_each_vector(
                da, [&](auto at) __attribute__((always_inline)) {
                    const vec<T> of_a = a.load(at), of_b = b.load(at), of_y = dy.load(at);
                    da.store(at, (of_y * of_b) * silu.derivative(of_a));
                    db.store(at, of_y * silu(of_a));
                });
        }
    }
};

}  // namespace detail

/// The type of heed::swiglu.
class swiglu_function {
  public:
    constexpr swiglu_function() = default;

    /// silu(a) ⊙ b, of a's kind, storage order and scalar.
    template <tensor_like A, tensor_like B, class... Extras>
    [[nodiscard]] auto operator()(const A& a, const B& b, const Extras&... extras) const {
        const auto run = [&](const auto& a_rows, const auto& b_rows) {
            auto y = detail::make_rows<A>(a_rows.extents);
            run_forward(detail::row_view<A>(detail::view_of(y)), a_rows, b_rows,
                        detail::call_resources(extras...));
            return y;
        };
        return detail::with_rows({"a", "b"}, run, a, b);
    }

    /// The same of vectors.
    template <class T>
    [[gnu::always_inline]] vec<T> operator()(vec<T> a, vec<T> b) const {
        return silu(a) * b;
    }

    /// The same in the caller's memory; y may be a or b.
    template <tensor_like Y, tensor_like A, tensor_like B, class... Extras>
    void into(Y&& y, const A& a, const B& b, const Extras&... extras) const {
        const auto run = [&](const auto&... inputs) {
            run_forward(detail::row_view<Y>(detail::view_of(std::forward<Y>(y))), inputs...,
                        detail::call_resources(extras...));
        };
        detail::with_rows({"a", "b"}, run, a, b);
    }

    /// da = dy ⊙ b ⊙ silu'(a) and db = dy ⊙ silu(a).
    template <tensor_like A, tensor_like B, tensor_like DY, class... Extras>
    [[nodiscard]] auto backward(const A& a, const B& b, const DY& dy,
                                const Extras&... extras) const {
        const auto run = [&](const auto& a_rows, const auto& b_rows, const auto& dy_rows) {
            auto da = detail::make_rows<A>(a_rows.extents);
            auto db = detail::make_rows<B>(b_rows.extents);
            run_backward(detail::row_view<A>(detail::view_of(da)),
                         detail::row_view<B>(detail::view_of(db)), a_rows, b_rows, dy_rows,
                         detail::call_resources(extras...));
            return swiglu_gradient<decltype(da), decltype(db)>{std::move(da), std::move(db)};
        };
        return detail::with_rows({"a", "b", "dy"}, run, a, b, dy);
    }

    /// The same in the caller's memory; each output may be one of the inputs.
    template <tensor_like DA, tensor_like DB, tensor_like A, tensor_like B, tensor_like DY,
              class... Extras>
    void backward_into(DA&& da, DB&& db, const A& a, const B& b, const DY& dy,
                       const Extras&... extras) const {
        const auto run = [&](const auto&... inputs) {
            run_backward(detail::row_view<DA>(detail::view_of(std::forward<DA>(da))),
                         detail::row_view<DB>(detail::view_of(std::forward<DB>(db))), inputs...,
                         detail::call_resources(extras...));
        };
        detail::with_rows({"a", "b", "dy"}, run, a, b, dy);
    }

  private:
    template <class Y, int RankY, class A, class B, int Rank>
    static void run_forward(const tensor_view<Y, RankY>& y, const tensor_view<A, Rank>& a,
                            const tensor_view<B, Rank>& b,
                            const detail::call_resources& resources) {
        static_assert(RankY == Rank, "heed: a, b and y have the same rank");
        detail::check_scalars<Y, std::remove_const_t<A>, std::remove_const_t<B>>();
        detail::check_row_output("y", y);
        detail::check_row_input("y", y, "a", a);
        detail::check_row_input("y", y, "b", b);
        constexpr auto axes = static_cast<std::size_t>(Rank - 1);
        detail::for_each_row<detail::computed_in<Y>>(
            resources, detail::leading<axes>(y.extents), y.extents[axes], detail::swiglu_rows{},
            detail::line_operand(y), detail::line_operand(a), detail::line_operand(b));
    }

    template <class DA, int RankA, class DB, int RankB, class A, class B, class DY, int Rank>
    static void run_backward(const tensor_view<DA, RankA>& da, const tensor_view<DB, RankB>& db,
                             const tensor_view<A, Rank>& a, const tensor_view<B, Rank>& b,
                             const tensor_view<DY, Rank>& dy,
                             const detail::call_resources& resources) {
        static_assert(RankA == Rank && RankB == Rank,
                      "heed: a, b, y and their gradients have the same rank");
        detail::check_scalars<DA, DB, std::remove_const_t<A>, std::remove_const_t<B>,
                              std::remove_const_t<DY>>();
        detail::check_row_output("da", da);
        detail::check_row_output("db", db);
        detail::check_row_input("da", da, "a", a);
        detail::check_row_input("da", da, "b", b);
        detail::check_row_input("da", da, "dy", dy);
        detail::check_row_input("db", db, "a", a);
        detail::check_row_input("db", db, "b", b);
        detail::check_row_input("db", db, "dy", dy);
        detail::check_outputs_apart("da", da, "db", db);
        constexpr auto axes = static_cast<std::size_t>(Rank - 1);
        detail::for_each_row<detail::computed_in<DA>>(
            resources, detail::leading<axes>(da.extents), da.extents[axes],
            detail::swiglu_backward_rows{}, detail::line_operand(da), detail::line_operand(db),
            detail::line_operand(a), detail::line_operand(b), detail::line_operand(dy));
    }
};

/// SwiGLU, y = silu(a) ⊙ b (arXiv 2002.05202), a and b two projections of the same rows, or two
/// halves of one: y.leftCols(d), say. da = dy ⊙ b ⊙ silu'(a), db = dy ⊙ silu(a).
///
///     auto y = heed::swiglu(a, b);
///     auto [da, db] = heed::swiglu.backward(a, b, dy);
///     heed::swiglu.into(y, x.leftCols(d), x.rightCols(d));
///
/// a, b, y and their gradients have one shape; see detail::activation for the rest: kinds, errors
/// and cost.
inline constexpr swiglu_function swiglu{};

}  // namespace heed::inline HEED_ARCHITECTURE
