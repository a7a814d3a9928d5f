#pragma once

#include <type_traits>
#include <utility>

#include <Eigen/Core>

#include <heed/core/architecture.hpp>
#include <heed/core/shape.hpp>
#include <heed/core/vector_input.hpp>
#include <heed/core/view.hpp>
#include <heed/linear/units/kernel/rwkv_call.hpp>
#include <heed/linear/units/kernel/unit_call.hpp>
#include <heed/linear/units/unit_state.hpp>

/// \file
/// RWKV's time mixing.

namespace heed::inline HEED_ARCHITECTURE {

/// What backward of heed::rwkv gives.
template <class R, class K, class V, class Parameter, class State>
struct rwkv_gradient {
    R r;
    K k;
    V v;
    Parameter decay, bonus;
    State state;  ///< of the state before the first token: of its y and z, at their size
};

/// The type of heed::rwkv(…), of kept vectors.
template <class Decay, class Bonus>
class rwkv_unit {
  public:
    rwkv_unit(Decay decay, Bonus bonus) : decay_(std::move(decay)), bonus_(std::move(bonus)) {}

    /// o, of r's kind, storage order and scalar.
    template <class R, class K, class V, class... Extras>
    [[nodiscard]] auto operator()(const R& r, const K& k, const V& v,
                                  const Extras&... extras) const {
        if constexpr (accepts<R, K, V>()) {
            const auto held = detail::evaluate("r", r);
            auto o = detail::make_like<R>(held.view().extents);
            into(o, held.view(), k, v, extras...);
            return o;
        }
    }

    /// o in the caller's memory, of any storage order; it must lie apart from r, k and v. A second
    /// call of the same shape allocates nothing.
    template <class O, class R, class K, class V, class... Extras>
    void into(O&& o, const R& r, const K& k, const V& v, const Extras&... extras) const {
        if constexpr (accepts<R, K, V, std::remove_cvref_t<O>>()) {
            using T = scalar_of<R>;
            if constexpr (detail::check_unit_extras<T, false, Extras...>()) {
                const auto held_r = detail::evaluate(r);
                const auto held_k = detail::evaluate(k);
                const auto held_v = detail::evaluate(v);
                detail::run_rwkv(inputs<T>(held_r, held_k, held_v),
                                 detail::batched(detail::view_of(std::forward<O>(o))),
                                 detail::unit_extras<T>(extras...));
            }
        }
    }

    /// The gradients of r, k, v, of the parameters and of the state before the first token, from
    /// d_o and the same r, k and v.
    template <class DO, class R, class K, class V, class... Extras>
    [[nodiscard]] auto backward(const DO& d_o, const R& r, const K& k, const V& v,
                                const Extras&... extras) const {
        if constexpr (accepts<R, K, V, DO>()) {
            using T = scalar_of<R>;
            using parameter = Eigen::Matrix<T, Eigen::Dynamic, 1>;
            const auto held_r = detail::evaluate("r", r);
            const auto held_k = detail::evaluate("k", k);
            const auto held_v = detail::evaluate("v", v);
            auto dr = detail::make_like<R>(held_r.view().extents);
            auto dk = detail::make_like<K>(held_k.view().extents);
            auto dv = detail::make_like<V>(held_v.view().extents);
            rwkv_gradient<decltype(dr), decltype(dk), decltype(dv), parameter, unit_state<T>>
                gradient{std::move(dr),         std::move(dk),         std::move(dv),
                         parameter(channels()), parameter(channels()), {}};
            backward_into(gradient, d_o, held_r.view(), held_k.view(), held_v.view(), extras...);
            return gradient;
        }
    }

    /// The same in the caller's memory: `gradient` is what backward returned before, or has members
    /// of the same names. Nothing but its state is resized.
    template <class Gradients, class DO, class R, class K, class V, class... Extras>
    void backward_into(Gradients&& gradient, const DO& d_o, const R& r, const K& k, const V& v,
                       const Extras&... extras) const {
        if constexpr (accepts<R, K, V, DO, std::remove_cvref_t<decltype(gradient.r)>,
                              std::remove_cvref_t<decltype(gradient.k)>,
                              std::remove_cvref_t<decltype(gradient.v)>>()) {
            using T = scalar_of<R>;
            if constexpr (detail::check_unit_extras<T, true, Extras...>()) {
                const auto held_d_o = detail::evaluate(d_o);
                const auto held_r = detail::evaluate(r);
                const auto held_k = detail::evaluate(k);
                const auto held_v = detail::evaluate(v);
                const detail::rwkv_outputs<T> to{
                    detail::batched(detail::view_of(gradient.r)),
                    detail::batched(detail::view_of(gradient.k)),
                    detail::batched(detail::view_of(gradient.v)),
                    detail::parameter_output("d_decay", gradient.decay, channels()),
                    detail::parameter_output("d_bonus", gradient.bonus, channels()),
                    &gradient.state};
                detail::run_rwkv_backward(inputs<T>(held_r, held_k, held_v),
                                          detail::batched(held_d_o.view()), to,
                                          detail::unit_extras<T>(extras...));
            }
        }
    }

    index channels() const { return decay_.view().extents[0]; }

  private:
    template <class R, class... Others>
    static constexpr bool accepts() {
        if constexpr (detail::check_unit_tensors<R, Others...>())
            return detail::check_unit_parameters<scalar_of<R>, Decay, Bonus>();
        else
            return false;
    }

    template <class T, class HeldR, class HeldK, class HeldV>
    detail::rwkv_inputs<T> inputs(const HeldR& r, const HeldK& k, const HeldV& v) const {
        return {decay_.view(), bonus_.view(), detail::batched(r.view()), detail::batched(k.view()),
                detail::batched(v.view())};
    }

    Decay decay_;
    Bonus bonus_;
};

/// RWKV-4's time mixing (arXiv 2305.13048, kexue 9554), a channel by itself:
///
///     o_t = σ(r_t)·(y_{t−1} + e^{u + k_t} v_t)/(z_{t−1} + e^{u + k_t})
///     y_t = λy_{t−1} + e^{k_t} v_t        z_t = λz_{t−1} + e^{k_t}        λ = e^{−e^w}
///
/// w is `decay`, u is `bonus`, vectors of a number for each channel, as checkpoints have them
/// (time_decay, time_first); they are seen where they lie if they are lvalues.
///
///     const auto unit = heed::rwkv(decay, bonus);
///     auto o = unit(r, k, v);                            // [batch, sequence, channels]
///     heed::unit_state<float> state;
///     auto o = unit(r, k, v, heed::carry(state));        // any pieces, down to a token
///     auto [dr, dk, dv, d_decay, d_bonus, d_state] = unit.backward(d_o, r, k, v);
///     auto grad = unit.backward(d_o, r, k, v, heed::carry(state), heed::state_gradient(d_next));
///
/// r, k, v and o are [batch, sequence, channels] or [sequence, channels] of any layout. o has the
/// same bits for any threads, batch and pieces; gradients for any threads. y and z are kept over
/// e^m, m a running maximum, so that no k overflows (beyond a quarter of the scalar's greatest, k
/// counts as that). Where k is −∞ v is not read, and o is 0 while nothing has been seen. A NaN in k
/// or v stays in its channel and in what comes after it, one in r in its number.
///
/// Throws shape_error where shapes do not fit; argument_error where decay is above 709 or
/// bonus is not finite, and for overlapping outputs. O(size of r), backward keeps an eighth of it.
/// Behind come heed::on and heed::in too.
template <detail::vector_like Decay, detail::vector_like Bonus>
[[nodiscard]] auto rwkv(Decay&& decay, Bonus&& bonus) {
    auto kept_decay = detail::keep_vector("decay", std::forward<Decay>(decay));
    auto kept_bonus = detail::keep_vector("bonus", std::forward<Bonus>(bonus));
    return rwkv_unit<decltype(kept_decay), decltype(kept_bonus)>(std::move(kept_decay),
                                                                 std::move(kept_bonus));
}

}  // namespace heed::inline HEED_ARCHITECTURE
