#pragma once

#include <concepts>
#include <numeric>
#include <type_traits>

#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/role.hpp>

/// \file
/// What a part of linear attention is: the roles that attention does not have, and what a part of
/// each of them has.
///
/// A part is a small immutable value that derives from the base of its role. To write a feature map
/// of your own, say heed::feature_map(f, df); to add one to heed, copy the shortest neighbour:
/// maps/relu.hpp for a function of each number, maps/one_plus_cosine.hpp for one of a row.

namespace heed::inline HEED_ARCHITECTURE {

namespace role {
struct feature_map {};     ///< φ, which stands for the exponential of a product
struct denominator {};     ///< by what Σ_j φ(q_i)·φ(k_j) v_j is divided
struct decay {};           ///< by what the state is multiplied at a token
struct update {};          ///< what a token takes out of the state before it writes its value
struct bonus {};           ///< what the present token weighs
struct row_norm {};        ///< what length rows of q and k are given before all else
struct state {};           ///< what earlier calls have seen
struct state_gradient {};  ///< backward only: the gradient of the state at the end
}  // namespace role

/// The extents of a call, after any rank has become [batch, head, sequence, dim]. `heads` are those
/// of o, the most that q, k, v, the decay or the update has; the others divide it, and head h uses
/// head ⌊h·H_x/heads⌋ of x.
struct linear_shape {
    index batch = 0;
    index heads = 0;
    index query_heads = 0;
    index key_heads = 0;
    index value_heads = 0;
    index decay_heads = 1;
    index update_heads = 1;
    index bonus_heads = 1;
    index queries = 0;
    index keys = 0;
    index dim = 0;        ///< of q and k
    index value_dim = 0;  ///< of v and o

    /// Heads of the state: as many as there are pairs of a head of k and one of v, or of these and
    /// ones of the decay and the update.
    index state_heads() const {
        if (key_heads == 0 || value_heads == 0) return 0;
        return std::lcm(std::lcm(key_heads, value_heads), std::lcm(decay_heads, update_heads));
    }

    bool operator==(const linear_shape&) const = default;
};

namespace detail {

/// The shape as parts of attention know it.
inline attention_shape as_attention(const linear_shape& shape) {
    return {shape.batch, shape.heads, shape.key_heads, shape.queries,
            shape.keys,  shape.dim,   shape.value_dim};
}

/// The base of a role's base.
template <class Role>
struct linear_part_base : part_base<Role> {
    template <class Shape>
    void check(const Shape&) const {
        static_assert(!std::same_as<Shape, attention_shape>,
                      "heed: feature maps, denominators, decays, updates and states are parts of "
                      "linear attention: heed::linear_attention(q, k, v, …)");
    }
    /// Throws shape_error or argument_error where it does not suit a call of this shape.
    void check_call(const linear_shape&) const {}
};

/// What the numbers of an update are: of tokens, β; of channels, heed::erase's; rows a and b.
enum class updated { none, tokens, channels, low_rank };

/// What a rotary encoding turns.
enum class encoded { none, features, inputs };

}  // namespace detail

/// The base of a feature map: φ(x), for rows x of q and k. A map has
///
///     static constexpr std::string_view name = "heed::…";
///     index count(index dim) const;      // features of a row of dim numbers
///     template <class T, bool Backward>
///     const detail::feature_rule<T>& rule(arena& scratch, const linear_shape& shape) const;
///         // what the kernel calls: kernel/feature_rule.hpp; backward alone asks for the way back
///     void check_call(const linear_shape& shape) const;
///         // throws shape_error or argument_error where it does not suit the call
struct feature_map_base : detail::linear_part_base<role::feature_map> {
    /// What a rotary encoding turns: features, in the numerator alone; what the map is given, in
    /// both; or there can be none.
    static constexpr detail::encoded encoding = detail::encoded::features;
    /// Whether it divides each feature by its sum over the keys; then nothing else divides.
    static constexpr bool divides_features = false;
};

/// The base of a denominator.
struct denominator_base : detail::linear_part_base<role::denominator> {};

/// The base of a decay: S_t = α_t S_{t−1} + v_t k_tᵀ. A decay has
///
///     index heads() const;                // how many heads it has numbers for; 1 serves all
///     void check_call(const linear_shape& shape) const;
///     void check_tokens(index batch, index first, index last) const;
///         // throws argument_error where a number of these tokens is out of its range
///     template <class T>
///     tensor_view<const T, 3> numbers(arena& scratch, const linear_shape& shape) const;
///         // [batch, its heads, token]: log α
///
/// and, that it can be learned (heed::learn),
///
///     template <class T> auto make_gradient(const attention_shape& shape) const;
///     template <class View> void check_gradient(const View& gradient) const;
///     template <class T, class View>
///     void sum_gradient(View gradient, const tensor_view<const T, 3>& of_numbers) const;
///         // from the gradient of log α of each token, [batch, head of o, token]
struct decay_base : detail::linear_part_base<role::decay> {
    void check_tokens(index, index, index) const {}
};

/// The base of an update by the delta rule: S_t = α_t S_{t−1}(I − β_t k_t k_tᵀ) + β_t v_t k_tᵀ. An
/// update has what a decay has, its numbers being β; or, of channels or of low rank, two tensors of
/// rows: detail/row_pair.hpp.
struct update_base : detail::linear_part_base<role::update> {
    static constexpr detail::updated kind = detail::updated::tokens;
};

/// The base of a bonus: bonus.hpp.
struct bonus_base : detail::linear_part_base<role::bonus> {};

/// The base of what gives rows of q and k their length: rule and name, as a feature map has them.
struct row_norm_base : detail::linear_part_base<role::row_norm> {
    static constexpr detail::encoded encoding = detail::encoded::features;
    static constexpr bool divides_features = false;

    index count(index dim) const { return dim; }
};

template <class P>
concept feature_map_part =
    part_of<P, role::feature_map> && std::derived_from<std::remove_cvref_t<P>, feature_map_base>;

}  // namespace heed::inline HEED_ARCHITECTURE
