#pragma once

#include <cstddef>
#include <memory>
#include <optional>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/blocks.hpp>
#include <heed/core/shape.hpp>
#include <heed/latent/latent_options.hpp>
#include <heed/latent/latent_weights.hpp>
#include <heed/projection/kernel/panels.hpp>
#include <heed/projection/packed_weights.hpp>

/// \file
/// The weights of a latent attention, packed once for all calls.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// The weights of one head, to heed::project as any that are packed.
template <class T>
struct weights_of_head {
    using storage = T;
    using scalar = T;

    packed_panels<T> packed;

    index outputs() const { return packed.outputs; }
    index inputs() const { return packed.inputs; }
    packed_panels<T> panels() const { return packed; }
    static const T* scales(arena&) { return nullptr; }
    static const T* bias(arena&) { return nullptr; }
    template <class See>
    void inputs_of(const See&) const {}  // nobody else knows its memory
};

/// A matrix of weights for each head, head after head in whole panels. Copies share the memory.
template <class T>
class weights_of_heads {
  public:
    /// Of head h [outputs, inputs], element(h, o, i) being the weight of output o and input i.
    template <class Element>
    weights_of_heads(index heads, index outputs, index inputs, const Element& element)
        : outputs_(outputs), inputs_(inputs), memory_(std::make_shared<arena>()) {
        const index numbers = heads * head_size();
        memory_->require(static_cast<std::size_t>(numbers) * sizeof(T) + arena::alignment);
        T* const panels = memory_->template take<T>(numbers);
        for (index h = 0; h < heads; ++h)
            pack_weights<T>(
                outputs, inputs, [&](index o, index i) { return element(h, o, i); },
                panels + h * head_size());
        panels_ = panels;
    }

    weights_of_head<T> operator[](index head) const {
        return {{panels_ + head * head_size(), outputs_, inputs_}};
    }
    std::size_t bytes() const { return memory_->capacity(); }

  private:
    index head_size() const { return round_up(outputs_, packed_panels<T>::width) * inputs_; }

    index outputs_, inputs_;
    std::shared_ptr<arena> memory_;
    const T* panels_ = nullptr;
};

/// Weights in the order in which they are read, by their names in latent_weights; nothing for those
/// that are not given, and of a layer that is not packed.
template <class T>
struct packed_layer {
    using matrix = std::optional<packed_weights<T>>;

    matrix q_proj = {}, q_a_proj = {}, q_b_proj = {}, kv_a_proj_with_mqa = {}, o_proj = {},
           g_proj = {};
    std::optional<weights_of_heads<T>> keys = {};    ///< W_kcᵀ of each head
    std::optional<weights_of_heads<T>> values = {};  ///< W_v of each head

    packed_layer() = default;
    /// Of weights that fit the options.
    packed_layer(const latent_weights<T>& w, const latent_options& sizes)
        : q_proj(pack(w.q_proj, {})),
          q_a_proj(pack(w.q_a_proj, w.q_a_proj_bias)),
          q_b_proj(pack(w.q_b_proj, {})),
          kv_a_proj_with_mqa(pack(w.kv_a_proj_with_mqa, w.kv_a_proj_with_mqa_bias)),
          o_proj(pack(w.o_proj, w.o_proj_bias)),
          g_proj(pack(w.g_proj, {})) {
        const index heads = sizes.heads.value, rank = sizes.rank.value;
        const index content = sizes.content.value, value = sizes.value.value;
        const auto kv_b = w.kv_b_proj.view();
        keys.emplace(heads, rank, content,
                     [&](index h, index o, index i) { return kv_b(h * (content + value) + i, o); });
        values.emplace(heads, value, rank, [&](index h, index o, index i) {
            return kv_b(h * (content + value) + content + o, i);
        });
    }

    /// Bytes of memory that all copies share.
    std::size_t bytes() const {
        std::size_t all = 0;
        for (const matrix* w :
             {&q_proj, &q_a_proj, &q_b_proj, &kv_a_proj_with_mqa, &o_proj, &g_proj})
            if (*w) all += (*w)->bytes();
        for (const auto* w : {&keys, &values})
            if (*w) all += (*w)->bytes();
        return all;
    }

  private:
    static matrix pack(const weight_view<T, 2>& weight, const weight_view<T, 1>& bias) {
        if (!weight.is_given()) return {};
        if (bias.is_given()) return packed_weights<T>(weight.view(), bias.view());
        return packed_weights<T>(weight.view());
    }
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
