#pragma once

#include <concepts>
#include <type_traits>
#include <utility>

#include <heed/core/architecture.hpp>
#include <heed/core/lanes.hpp>
#include <heed/core/role.hpp>
#include <heed/core/simd.hpp>

/// \file
/// What a part of attention is: the roles, and what the kernels ask of a part in each role.
///
/// A part is a small immutable value that derives from the base of its role, which says what the
/// role is and holds what a part may leave out. To write a new one, copy the shortest neighbour of
/// its role: masks/causal.hpp for a mask, modifiers/soft_cap.hpp for a score modifier. A part of
/// any role may have
///
///     void check(const attention_shape& shape) const;
///         // throws shape_error or argument_error where it does not suit the call
///     template <class See> void inputs(See&& see) const;
///         // see(name, view) for all memory of the caller's that it reads: no output may lie there

namespace heed::inline HEED_ARCHITECTURE {

/// The extents of a call, after any rank has become [batch, head, sequence, dim].
struct attention_shape {
    index batch = 0;
    index heads = 0;
    index kv_heads = 0;
    index queries = 0;
    index keys = 0;
    index dim = 0;        ///< of q and k
    index value_dim = 0;  ///< of v and o

    bool operator==(const attention_shape&) const = default;
};

/// One row of scores: which query it belongs to.
struct query_row {
    index batch = 0;
    index head = 0;
    index query = 0;      ///< its index in q
    index position = 0;   ///< where it stands: query + keys − queries, or as heed::positions says
    double fraction = 0;  ///< what is left of a position that is not whole, in [0, 1)

    /// The position as a modifier's or mask's `i`.
    template <class T>
    lanes<T> lane_position() const {
        return lanes<T>::all(position, static_cast<T>(fraction));
    }
};

/// The keys of one vector of scores: lane l is key first + l.
template <class T>
struct key_lanes {
    index first = 0;    ///< index in k of lane 0's key
    index count = 0;    ///< how many lanes are keys at all: read no memory for the others
    lanes<T> position;  ///< where they stand; the mask's or modifier's `j`
};

/// Keys first … last − 1.
struct key_interval {
    index first = 0;
    index last = 0;
};

/// What a mask may say of a tile of queries and keys.
enum class visibility { none, mixed, all };

/// The base of a mask: whether query i sees key j. A mask has
///
///     template <class T> auto on_row(const query_row& i) const;
///         // a function of key_lanes<T> that returns a vec_mask<T>, true where i sees the key
///
/// and, where it can, so that the kernels skip what is not seen:
///
///     key_interval interval(const query_row& i, const attention_shape& shape) const;
///         // i sees no key outside
///     visibility tile(const query_row& first, const query_row& last, key_interval keys) const;
///         // of the queries first … last of one head and these keys
///     index padded_from(index batch) const;
///     static constexpr std::string_view name = "heed::…";
///         // all keys from this one on are padding: see padding.hpp
struct mask_base : detail::part_base<role::mask> {
    /// Whether i sees every key of its interval: on_row is then called only if by_position.
    static constexpr bool is_interval = false;
    /// Whether interval and tile hold only while key j stands at position j.
    static constexpr bool by_position = false;
};

template <class P>
concept mask_part = part_of<P, role::mask> && std::derived_from<std::remove_cvref_t<P>, mask_base>;

/// The base of a score modifier: s becomes f(s, i, j). A modifier has
///
///     template <class T> auto on_row(const query_row& i) const;
///         // an object r with
///         //     vec<T> r(vec<T> s, const key_lanes<T>& j)                        f
///         //     vec<T> r.derivative(vec<T> s, vec<T> out, const key_lanes<T>& j) ∂f/∂s, out = f
///
/// If it has a parameter that can be learned (heed::learn), then also
///
///     template <class T> auto make_gradient(const attention_shape& shape) const;
///         // what the caller gets: an Eigen object of the parameter's shape
///     template <class View>
///     void check_gradient(const View& gradient, const attention_shape& shape) const;
///         // throws shape_error unless the caller's object has that shape
///     template <class T> index partials() const;
///         // how many numbers a (batch, head, key block) sums up by itself; 0: it writes into the
///         // gradient directly, each element from the one task that owns its keys
///     template <class T, class View> void add_gradient(View gradient, T* partial,
///         const query_row& i, const key_lanes<T>& j, vec<T> s, vec<T> out, vec<T> g) const;
///         // adds Σ g·∂f/∂parameter, g = the gradient of `out`, zero in lanes that are not seen
///     template <class T, class View> void finish_gradient(View gradient, const T* partials,
///         const attention_shape& shape, index blocks) const;
///         // partials are [batch, head, block, partials()], summed in that order
struct modifier_base : detail::part_base<role::modifier> {
    /// Whether ∂f/∂s = 1: then no derivative is needed.
    static constexpr bool is_additive = false;
    /// Whether f depends on where i and j stand. Where that depends on the scalar,
    /// template <class T> static constexpr bool by_position_of says it instead.
    static constexpr bool by_position = false;
};

/// The base of what says where queries and keys stand. It has
///
///     call_positions prepare(arena& scratch, const attention_shape& shape) const;
struct positions_base : detail::part_base<role::positions> {
    /// Whether key j stands at j all the same, but each sequence has keys of its own number, and
    /// its queries stand at their end: index length(index batch) const is that number.
    static constexpr bool keys_at_their_indices = false;
};

/// The base of a scale: c_i. A scale has
///
///     double on_row(const query_row& i, const attention_shape& shape, index visible) const;
///         // visible = how many keys i sees, if needs_visible_count, else 0
///
/// If it can be learned: make_gradient<T>(shape) and check_gradient as above, and
///
///     template <class T, class View> void add_row_gradient(View gradient, const query_row& i,
///         double dot) const;   // dot = Σ_j (∂L/∂s_ij)·(q_i·k_j); rows come in order
///     double derivative(const attention_shape& shape, index visible) const;
///         // optional: ∂c_i/∂parameter, by which `dot` is multiplied before
struct scale_base : detail::part_base<role::scale> {
    static constexpr bool normalises_query = false;  ///< q_i/‖q_i‖ first
    static constexpr bool normalises_key = false;
};

/// A normaliser: from a row of scores to weights of the values. Its base is normaliser_base
/// (core/role.hpp), where needs_visible_count is false.
///
/// What it keeps of a head, and the statistics of a row in it, lie in scratch memory: the object is
/// trivially destructible, its statistics are trivially copyable.
///
/// One that can take a row block by block, as softmax does, is streaming
/// (softmax/kernel/streaming.hpp):
///
///     template <class T> auto streaming(index head) const;
///
/// One that needs the row as a whole, as entmax does, is a row normaliser:
///
///     template <class T> auto whole_row(index head) const;   // an object with
///         // using statistics = …;             what recompute needs of a row
///         // static constexpr bool is_sparse;  whether most probabilities are zero
///         // statistics normalise(T* row, index count, arena& scratch) const;
///         //     scores become probabilities in place; −∞ is left out. row is aligned to 64 bytes,
///         //     count is a whole number of pairs of vectors
///         // void recompute(const statistics&, T* row, index count) const;
///         //     the same bits from the statistics
///         // void gradient(const statistics&, const T* scores, const T* p, T* dp, index count,
///         //               T* of_parameter, arena& scratch) const;
///         //     dp becomes the gradient of the scores; *of_parameter that of what can be learned,
///         //     if anything: null where nobody learns it
///         // and if it is sparse:
///         // index support(const T* row, index count, T maximum, T* p, std::int32_t* positions,
///         //               statistics& solved, arena& scratch) const;
///         //     normalise, compressed: how many p are not zero
///         // vec<T> weight(vec<T> p) const;
///         //     g of ds = g·(dp − Σg·dp/Σg)
///         // T origin(const T* p, const T* dp, index count) const;
///         //     if some g may be very large: what is taken from every dp first
template <class P, class T>
concept row_normaliser = part_of<P, role::normaliser> && requires(const P& part) {
    part.template whole_row<T>(index(0));
};

namespace detail {

/// Whether a part says that keys stand elsewhere than at their indices.
template <class P>
inline constexpr bool moves_keys = false;
template <part_of<role::positions> P>
inline constexpr bool moves_keys<P> = !P::keys_at_their_indices;

}  // namespace detail

/// A part whose parameters yield gradients in backward.
template <part P>
struct learned {
    using role = role_of<P>;
    P part;
};

/// Marks a part's parameters as learned: attention_backward returns their gradients behind v's,
/// in the order of the parts.
template <part P>
[[nodiscard]] auto learn(P&& part) {
    using part_type = std::remove_cvref_t<P>;
    constexpr bool can_learn = requires(attention_shape shape) {
        part.template make_gradient<float>(shape);
    };
    static_assert(can_learn, "heed: heed::learn was given a part without parameters to learn");
    if constexpr (can_learn)
        return learned<part_type>{std::forward<P>(part)};
    else
        return part_type(std::forward<P>(part));
}

}  // namespace heed::inline HEED_ARCHITECTURE
