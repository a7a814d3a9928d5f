#pragma once

#include <array>
#include <cstddef>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/shape.hpp>
#include <heed/linear/kernel/rules/program.hpp>
#include <heed/linear/kernel/state/state_kind.hpp>
#include <heed/linear/linear_state.hpp>
#include <heed/linear/part.hpp>

/// \file
/// What a call may do with a state: check it, open its heads, and say how long it is.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// The way of a call into a state.
template <class T>
struct state_access {
    linear_state<T>& state;

    void check(const state_kind& call) const {
        if (state.empty()) return;
        const state_kind& own = state.kind_;
        const std::array<index, 4> has{own.batch, own.heads, own.value_dim, own.features};
        const std::array<index, 4> needs{call.batch, call.heads, call.value_dim, call.features};
        require_shape(has == needs, "the state has shape ", has,
                      " (batch, heads, d_v, features), but this call's must have ", needs);
        require_argument(own.divides == call.divides, "the state is of calls that ",
                         own.divides ? "divide" : "do not divide",
                         " by a denominator, but this call does ", call.divides ? "" : "not");
        const bool decays = own.decays != decayed::none;
        const bool channels = own.decays == decayed::channels;
        const bool call_decays = call.decays != decayed::none;
        require_argument(own.map.empty() || decays == call_decays, "the state is of calls ",
                         decays ? "with decays" : "without decays", ", but this one ",
                         call_decays ? "has them" : "has none");
        require_argument(own.map.empty() || own.decays == call.decays,
                         "the state is of calls with decays a ", channels ? "channel" : "token",
                         ", but this one has them a ", channels ? "token" : "channel");
        require_argument(own.map.empty() || own.updates == call.updates, "the state is of calls ",
                         own.updates ? "with" : "without", " an update, but this one has ",
                         call.updates ? "one" : "none");
        require_argument(own.map.empty() || own.steps == call.steps, "the state is of calls with ",
                         own.steps == 1 ? "another update" : "heed::low_rank",
                         ", but this one has ",
                         call.steps == 1 ? "another update" : "heed::low_rank");
        require_argument(own.map.empty() || (own.map == call.map && own.turned == call.turned),
                         "the state is of calls with ", own.map,
                         own.turned == encoded::none ? "" : " and a rotary encoding",
                         ", but this one has ", call.map,
                         call.turned == encoded::none ? "" : " and a rotary encoding");
    }
    /// The heads for a call that has been checked.
    kept_heads<T> heads(const state_kind& call) const {
        if (state.empty()) state.take_shape(call);
        state.kind_ = call;
        const bool keeps = state.options_.rewindable;
        return {state.numbers_.data(), state.progress_.data(),
                keeps ? state.older_.data() : nullptr,
                keeps ? state.older_progress_.data() : nullptr};
    }
    /// The heads as they are, to be read alone; none of an empty state.
    kept_heads<T> heads() const {
        if (state.empty()) return {};
        return {state.numbers_.data(), state.progress_.data(), nullptr, nullptr};
    }
    index length(index batch) const {
        return state.empty() ? 0 : state.lengths_[static_cast<std::size_t>(batch)];
    }
    /// Tokens of the last document of a sequence; whether it began in this call.
    void set_length(index batch, index length, bool anew) const {
        state.lengths_[static_cast<std::size_t>(batch)] = length;
        if (anew) state.given_ = false;
    }
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
