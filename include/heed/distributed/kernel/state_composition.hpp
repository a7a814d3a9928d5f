#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/shape.hpp>
#include <heed/linear/kernel/chunk/head_sums.hpp>
#include <heed/linear/kernel/state/held_sums.hpp>
#include <heed/linear/kernel/state/state_access.hpp>
#include <heed/linear/kernel/state/state_kind.hpp>
#include <heed/linear/linear_state.hpp>

/// \file
/// The sums of two consecutive pieces of a sequence, head by head, in double.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// S = e^{g}·S_whole + S_later, g the sum of the logarithms of the later piece's decays; the keys
/// since the last line of either grid are part of S then.
template <class T>
class state_composition {
  public:
    state_composition(linear_state<T>& whole, const linear_state<T>& later)
        : whole_(whole), later_(later) {}

    /// Throws shape_error or argument_error where the two do not fit.
    void check() const {
        require_argument(&whole_ != &later_,
                         "the later state is that of the piece before, but "
                         "must be another one");
        for (const state_kind& of : {whole_.kind_, later_.kind_}) {
            require_argument(!of.updates,
                             "a state is of calls with an update, but those do not add up: what "
                             "a later piece does to the state before it is a matrix");
            require_argument(of.decays != decayed::channels,
                             "a state is of calls with decays a channel, but heed::compose takes "
                             "the sum of those of a head");
            require_argument(!of.by_position, "a state is of calls with a rotary encoding or ",
                             of.map,
                             ", but its features must not depend on where a token stands: a later "
                             "piece began at 0");
        }
        if (!whole_.empty() && !later_.empty()) state_access<T>{whole_}.check(kind());
    }

    bool has_decays() const { return kind().decays != decayed::none; }
    /// Whether that is not known yet: nothing comes behind what says nothing of its calls' parts.
    bool may_have_decays() const {
        return has_decays() || (later_.empty() && whole_.kind_.map.empty());
    }
    /// [batch, heads] of the one that is not empty.
    std::array<index, 2> heads() const {
        const linear_state<T>& of = later_.empty() ? whole_ : later_;
        return {of.batch(), of.heads()};
    }

    /// log_decay(batch, head) is g.
    template <class LogDecay>
    void compose(const LogDecay& log_decay) const {
        const state_kind common = kind();
        if (whole_.empty()) whole_.take_shape(common);
        whole_.kind_ = common;
        for (index b = 0; b < whole_.batch(); ++b) {
            for (index h = 0; h < whole_.heads(); ++h) compose_head(b, h, log_decay(b, h));
            const auto at = static_cast<std::size_t>(b);
            whole_.lengths_[at] += later_.lengths_[at];
        }
        for (head_progress& older : whole_.older_progress_) older = {};
        whole_.given_ = true;  // what it begins with are no keys that could be taken back
    }

  private:
    using head = head_sums<T>;

    /// What both are of: one that was made of given sums says nothing of its calls' parts.
    state_kind kind() const {
        state_kind of = later_.kind_;
        if (of.map.empty()) {
            of.map = whole_.kind_.map;
            of.decays = whole_.kind_.decays;
            of.updates = whole_.kind_.updates;
        }
        return of;
    }

    /// By what the sums of a feature become multiples of another unit.
    struct shares {
        double whole, later;
        double of(double a, double b) const {
            // A share of 0 is nothing, not 0·x.
            return (whole == 0 ? 0 : whole * a) + (later == 0 ? 0 : later * b);
        }
    };

    void compose_head(index b, index h, double log_decay) const {
        const head whole = whole_.head_of(b, h), later = later_.head_of(b, h);
        const double decay = std::exp(log_decay);
        for (index f = 0; f < whole_.kind_.features; ++f) {
            const T reference = common_reference(whole, later, f);
            const shares share{decay * unit_over(whole, f, reference),
                               unit_over(later, f, reference)};
            for (index c = 0; c < whole_.kind_.value_dim; ++c)
                set_compensated(
                    whole.s.sum[f] + c, whole.s.lost[f] + c,
                    share.of(relative_sum_of(whole, f, c), relative_sum_of(later, f, c)));
            // Also where the call does not divide: a map may divide by them itself.
            set_compensated(whole.total + f, whole.total_lost + f,
                            share.of(relative_total_of(whole, f), relative_total_of(later, f)));
            whole.reference[f] = reference;
        }
        std::fill_n(whole.running, static_cast<std::size_t>(whole_.layout().row()), T(0));
        *whole.progress = {.begun = whole.progress->begun || later.progress->begun};
    }

    /// The larger of the two references of a feature, of those that are of keys.
    static T common_reference(const head& whole, const head& later, index f) {
        if (!whole.progress->begun) return later.reference[f];
        if (!later.progress->begun) return whole.reference[f];
        return std::max(whole.reference[f], later.reference[f]);
    }
    static double unit_over(const head& of, index f, T reference) {
        return std::exp2(static_cast<double>(of.reference[f]) - static_cast<double>(reference));
    }
    /// A sum and what it lost to rounding.
    static void set_compensated(T* sum, T* lost, double x) {
        *sum = static_cast<T>(x);
        *lost = std::isfinite(x) ? static_cast<T>(x - static_cast<double>(*sum)) : T(0);
    }

    linear_state<T>& whole_;
    const linear_state<T>& later_;
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
