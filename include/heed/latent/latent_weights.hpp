#pragma once

#include <string_view>
#include <type_traits>
#include <utility>

#include <Eigen/Core>

#include <heed/core/architecture.hpp>
#include <heed/core/vector_input.hpp>
#include <heed/core/view.hpp>

/// \file
/// The weights of multi-head latent attention, by their names in checkpoints, and their gradients.

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

/// A matrix (Rank 2) or a vector (Rank 1) of the caller's, seen where it lies; nothing unless it is
/// given.
template <class T, int Rank>
class weight_view {
    static_assert(Rank == 1 || Rank == 2);

  public:
    weight_view() noexcept {}  // not defaulted: g++ 12 fails where a member of a class is made so

    template <class X>
    requires(!std::is_same_v<std::remove_cvref_t<X>, weight_view>) weight_view(X&& x) {  // NOLINT
        if constexpr (is_weight<X>()) {
            if constexpr (Rank == 1) {
                check_vector("a vector of weights", x);
                view_ = vector_view(x);
            } else {
                view_ = evaluate(x).view();
            }
            is_given_ = true;
        }
    }

    bool is_given() const { return is_given_; }
    tensor_view<const T, Rank> view() const { return view_; }

  private:
    /// Stops the compilation with one sentence if X&& cannot be seen as such weights.
    template <class X>
    static constexpr bool is_weight() {
        if constexpr (Rank == 1 && contiguous_range<X>) {
            using element = std::remove_cvref_t<decltype(*std::declval<X&>().data())>;
            constexpr bool fits = std::is_same_v<element, T> && std::is_lvalue_reference_v<X>;
            static_assert(
                fits, "heed: weights of latent attention stay where they lie, and have its scalar");
            return fits;
        } else {
            constexpr bool is_tensor = tensor_like<X>;
            static_assert(is_tensor,
                          "heed: weights of latent attention are Eigen matrices, maps, "
                          "blocks or heed::view, and vectors");
            if constexpr (is_tensor) {
                constexpr bool fits = std::is_same_v<scalar_of<X>, T> && is_referable<X>;
                static_assert(
                    fits,
                    "heed: weights of latent attention stay where they lie, and have its scalar");
                constexpr bool has_axes =
                    rank_of<X> == Rank || (Rank == 1 && eigen_dense<std::remove_cvref_t<X>>);
                static_assert(has_axes,
                              "heed: weights of latent attention are matrices [outputs, "
                              "inputs], and vectors");
                return fits && has_axes;
            } else {
                return false;
            }
        }
    }

    tensor_view<const T, Rank> view_;
    bool is_given_ = false;
};

}  // namespace detail

/// The weights of a layer, seen where they lie: matrices [outputs, inputs] as checkpoints have
/// them. D is the model's width, and the sizes are those of latent_options.
///
///     const heed::latent_weights<float> weights{.q_proj = q,
///                                               .kv_a_proj_with_mqa = kv_a,
///                                               .kv_a_layernorm = gamma,
///                                               .kv_b_proj = kv_b,
///                                               .o_proj = o};
///
/// Queries come from q_proj alone, or compressed from q_a_proj, q_a_layernorm and q_b_proj. Biases
/// and the gate may be missing. Whatever is seen must stay as long as it is used; what it holds may
/// change, as in training.
template <class T>
struct latent_weights {
    using matrix = detail::weight_view<T, 2>;
    using vector = detail::weight_view<T, 1>;

    matrix q_proj = {};                   ///< [H·(content + rotated), D]: a head's [W_qc; W_qr]
    matrix q_a_proj = {};                 ///< W_c', [d_c', D]: compresses queries
    vector q_a_proj_bias = {};            ///< [d_c']
    vector q_a_layernorm = {};            ///< γ', [d_c']
    matrix q_b_proj = {};                 ///< [H·(content + rotated), d_c']: as q_proj
    matrix kv_a_proj_with_mqa = {};       ///< [W_c; W_kr], [rank + rotated, D]
    vector kv_a_proj_with_mqa_bias = {};  ///< [rank + rotated]
    vector kv_a_layernorm = {};           ///< γ, [rank]; none unless latent_options::normed
    matrix kv_b_proj = {};                ///< [H·(content + value), rank]: a head's [W_kc; W_v]
    matrix o_proj = {};                   ///< W_o, [outputs, H·value]
    vector o_proj_bias = {};              ///< [outputs]
    /// W_g, [H, D] or [H·value, D]: o is multiplied by σ(x·W_gᵀ), a number a head or for each
    /// value.
    matrix g_proj = {};
};

/// The gradients of latent_weights, each of its weight's shape, empty for what was not given.
template <class T>
struct latent_weight_gradients {
    using matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    using vector = Eigen::Matrix<T, Eigen::Dynamic, 1>;

    matrix q_proj;
    matrix q_a_proj;
    vector q_a_proj_bias;
    vector q_a_layernorm;
    matrix q_b_proj;
    matrix kv_a_proj_with_mqa;
    vector kv_a_proj_with_mqa_bias;
    vector kv_a_layernorm;
    matrix kv_b_proj;
    matrix o_proj;
    vector o_proj_bias;
    matrix g_proj;
};

/// f("q_proj", weights.q_proj, others.q_proj) for every weight, others being latent_weights or
/// their gradients.
template <class Weights, class Others, class F>
void for_each_latent_weight(Weights& weights, Others& others, F&& f) {
    f(std::string_view("q_proj"), weights.q_proj, others.q_proj);
    f(std::string_view("q_a_proj"), weights.q_a_proj, others.q_a_proj);
    f(std::string_view("q_a_proj_bias"), weights.q_a_proj_bias, others.q_a_proj_bias);
    f(std::string_view("q_a_layernorm"), weights.q_a_layernorm, others.q_a_layernorm);
    f(std::string_view("q_b_proj"), weights.q_b_proj, others.q_b_proj);
    f(std::string_view("kv_a_proj_with_mqa"), weights.kv_a_proj_with_mqa,
      others.kv_a_proj_with_mqa);
    f(std::string_view("kv_a_proj_with_mqa_bias"), weights.kv_a_proj_with_mqa_bias,
      others.kv_a_proj_with_mqa_bias);
    f(std::string_view("kv_a_layernorm"), weights.kv_a_layernorm, others.kv_a_layernorm);
    f(std::string_view("kv_b_proj"), weights.kv_b_proj, others.kv_b_proj);
    f(std::string_view("o_proj"), weights.o_proj, others.o_proj);
    f(std::string_view("o_proj_bias"), weights.o_proj_bias, others.o_proj_bias);
    f(std::string_view("g_proj"), weights.g_proj, others.g_proj);
}

}  // namespace heed::inline HEED_ARCHITECTURE
