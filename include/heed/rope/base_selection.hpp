#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <functional>
#include <vector>

#include <heed/core/architecture.hpp>
#include <heed/core/blocks.hpp>
#include <heed/core/error.hpp>
#include <heed/core/parallel.hpp>
#include <heed/core/shape.hpp>
#include <heed/core/workspace.hpp>
#include <heed/rope/detail/cosine_integral.hpp>
#include <heed/rope/detail/cosine_sums.hpp>
#include <heed/rope/frequencies.hpp>

/// \file
/// How large a base must be for a context: the least one with which a key like the query scores no
/// less, on average, than any other key, at every distance m below the length (arXiv 2405.14591;
/// kexue 10122):
///
///     f_b(m) = Σ_i cos(m·b^{−2i/d}) ≥ 0,  i = 0 … d/2 − 1,  m = 0 … length − 1.

namespace heed::inline HEED_ARCHITECTURE {
namespace rope {

/// What heed::rope::least_base and heed::rope::least_lasting_base take.
struct base_options {
    heed::detail::any_integral dim;         ///< d: even, at least 2
    heed::detail::any_integral length;      ///< positions: 1 … 2³¹ − 1
    heed::detail::any_integral rounds = 5;  ///< how often the grid becomes finer: 1 … 7
    /// Called with the fraction that is done, on the caller's thread; the last call gets 1.
    std::function<void(double)> progress = {};
};

/// What a search for a base has found.
struct found_base {
    double base = 0;
    double resolution = 0;         ///< the step of the last round's grid
    std::vector<double> by_round;  ///< what each round found; the last is `base`
};

}  // namespace rope

namespace detail {

/// Throws argument_error unless there is a base for these.
inline void check_base_search(index dim, index length) {
    require_argument(dim >= 2 && dim % 2 == 0, "dim is ", dim,
                     ", but it must be even and at least 2");
    require_argument(length >= 1 && length < (index(1) << 31), "length is ", length,
                     ", but it must be at least 1 and less than 2^31");
    require_argument(dim > 2 || length <= 2, "dim is 2 and length ", length,
                     ", but cos 2 < 0 with any base: dim must be at least 4, or length at most 2");
}

/// Tries bases on one thread, and remembers which positions ruled them out: most often the same
/// ones rule out the next base too.
template <class T>
class base_trial {
  public:
    base_trial(index dim, index length) : dim_(dim), length_(length) {}

    bool suffices(arena& scratch, double base) {
        const arena::scope scope(scratch);
        const cosine_sums<T> sums(scratch, dim_, base, length_);
        const auto end = witnesses_.begin() + count_;
        auto witness =
            std::find_if(witnesses_.begin(), end, [&](index m) { return sums.is_negative(m); });
        if (witness == end) {
            const index found = sums.find_negative();
            if (found < 0) return true;
            if (count_ < static_cast<index>(witnesses_.size())) ++count_;
            witness = witnesses_.begin() + count_ - 1;
            *witness = found;
        }
        std::rotate(witnesses_.begin(), witness, witness + 1);
        return false;
    }

  private:
    index dim_, length_;
    std::array<index, 16> witnesses_{};  // the last one to rule out a base first
    index count_ = 0;
};

/// The search of both kinds: rounds of a grid that becomes finer, on all threads.
template <class T>
class base_search {
  public:
    base_search(const rope::base_options& options, on_pool threads)
        : dim_(options.dim.value),
          length_(options.length.value),
          rounds_(options.rounds.value),
          progress_(options.progress),
          pool_(threads.pool) {
        check_base_search(dim_, length_);
        require_argument(rounds_ >= 1 && rounds_ <= 7, "rounds is ", rounds_,
                         ", but it must be 1 to 7");
        const int others = pool_ != nullptr ? pool_->NumThreads() : 0;
        trials_.assign(static_cast<std::size_t>(others) + 1, base_trial<T>(dim_, length_));
    }

    /// Each round cuts what is below the last one's base.
    rope::found_base least() {
        rope::found_base found;
        double bound = first_bound();
        while (!suffices(0, bound)) bound *= 2;
        for (index round = 1, points = 10; round <= rounds_; ++round, points *= 10) {
            add_round(found, bound, least(bound, points), points);
            bound = found.base;
        }
        return found;
    }

    /// Below a bound so high that what is found is in the lower half.
    rope::found_base least_lasting() {
        rope::found_base found;
        for (double bound = first_bound(); !find_lasting(found, bound); bound *= 2) {
            found = {};
            points_done_ = 0;
        }
        return found;
    }

  private:
    double first_bound() const { return 1000.0 * static_cast<double>(length_); }

    /// Each round cuts all that is below the bound: a finer grid may meet a base that does not
    /// suffice above what the coarser one has found.
    bool find_lasting(rope::found_base& found, double bound) {
        if (!suffices(0, bound)) return false;
        for (index round = 1, points = 10; round <= rounds_; ++round, points *= 10) {
            const index number = least_lasting(bound, points);
            if (2 * number > points) return false;
            add_round(found, bound, number, points);
        }
        return true;
    }

    void add_round(rope::found_base& found, double bound, index number, index points) {
        found.base = point(bound, number, points);
        found.resolution = bound / static_cast<double>(points);
        found.by_round.push_back(found.base);
        points_done_ += points;
        report(0);
    }

    /// The least of the points that suffices; the bound, the last of them, does.
    index least(double bound, index points) {
        return 1 + first_of(points - 1, [&](index slot, index i) {
                   return suffices(slot, point(bound, i + 1, points));
               });
    }

    /// The least of the points from which on all suffice.
    index least_lasting(double bound, index points) {
        return points - first_of(points - 1, [&](index slot, index i) {
                   return !suffices(slot, point(bound, points - 1 - i, points));
               });
    }

    static double point(double bound, index number, index points) {
        return bound * static_cast<double>(number) / static_cast<double>(points);
    }

    bool suffices(index slot, double base) {
        if (!(base > 1)) return false;
        return trials_[static_cast<std::size_t>(slot)].suffices(scratch_.slot(slot), base);
    }

    /// The least i below `count` for which holds(slot, i), or `count`. Bases are tried in order, a
    /// few beyond the one found.
    template <class Holds>
    index first_of(index count, Holds holds) {
        constexpr index chunk = 16;
        std::atomic<index> first{count};
        for_each_task(pool_, scratch_, count_blocks(count, chunk), [&](index slot, index task) {
            const index end = std::min(count, (task + 1) * chunk);
            for (index i = task * chunk; i < end; ++i) {
                if (i >= first.load(std::memory_order_relaxed)) return;
                if (!holds(slot, i)) continue;
                index least = first.load(std::memory_order_relaxed);
                while (i < least && !first.compare_exchange_weak(least, i)) {
                }
                return;
            }
            if (slot == 0) report(end);
        });
        return first.load();
    }

    /// Never less than before, though a search may begin anew.
    void report(index points) {
        if (!progress_) return;
        const double all = (std::pow(10.0, static_cast<double>(rounds_ + 1)) - 10) / 9;
        reported_ = std::max(reported_, static_cast<double>(points_done_ + points) / all);
        progress_(reported_);
    }

    index dim_, length_, rounds_;
    const std::function<void(double)>& progress_;
    Eigen::ThreadPoolInterface* pool_;
    workspace scratch_;
    std::vector<base_trial<T>> trials_;
    index points_done_ = 0;  // of the rounds before
    double reported_ = 0;
};

}  // namespace detail

namespace rope {

/// f_b(m) = Σ_i cos(m·b^{−2i/d}), i = 0 … d/2 − 1, in double, one cosine after the other. Throws
/// argument_error for what heed::rope::plain refuses and a negative m.
[[nodiscard]] inline double cosine_sum(double base, index dim, index m) {
    heed::detail::require_argument(m >= 0, "m is ", m, ", but it must not be negative");
    return heed::detail::cosine_sum(plain({.dim = dim, .base = base}), m);
}

/// Whether f_b(m) ≥ 0 for all integers m in [0, length). Throws argument_error for a length below 1
/// and what heed::rope::plain refuses.
template <class T = float>
bool base_suffices(double base, index dim, index length) {
    heed::detail::require_argument(length >= 1 && length < (index(1) << 31), "length is ", length,
                                   ", but it must be at least 1 and less than 2^31");
    return heed::detail::base_trial<T>(dim, length).suffices(thread_workspace().slot(0), base);
}

/// b*(length, dim), the least base that suffices, to the resolution that it states:
///
///     auto found = heed::rope::least_base({.dim = 128, .length = 4096}, heed::on(pool));
///     auto rope = heed::rope::plain({.dim = 128, .base = found.base});
///
/// From B = 1000·length, doubled until it suffices, round r = 1 … rounds cuts (0, B] into 10^r
/// parts, and the least point above 1 that suffices is the next B. That is not the least of all
/// such b: a base may suffice where a greater one does not, between two points of a coarse grid
/// too. The result is the same for any number of threads. Throws argument_error for a dim that is
/// odd or below 2, a length outside 1 … 2³¹ − 1, rounds outside 1 … 7, and for dim = 2 with length
/// > 2, where no base suffices. Source: arXiv 2405.14591; kexue 10122.
template <class T = float>
found_base least_base(const base_options& options, on_pool threads = {nullptr}) {
    return heed::detail::base_search<T>(options, threads).least();
}

/// The least base from which on all that are tried suffice. From B = 1000·length, round r = 1 …
/// rounds cuts (0, B] into 10^r parts and finds the least point such that it and every point above
/// it suffice; where that is above B/2, B is doubled and all begins anew, so that bases up to twice
/// the result have been tried. Every point above the result is tried at all positions: a round more
/// takes ten times as long, far longer than in least_base. Errors and source as there.
template <class T = float>
found_base least_lasting_base(const base_options& options, on_pool threads = {nullptr}) {
    return heed::detail::base_search<T>(options, threads).least_lasting();
}

/// The mean of the cosines, (2/d)·f_b(m), in the limit of many dimensions: ∫₀¹ cos(m·b^{−s}) ds =
/// (Ci(m) − Ci(m/b))/log b. Throws argument_error unless base > 1 and m ≥ 0, both finite.
[[nodiscard]] inline double limit_mean_cosine(double base, double m) {
    heed::detail::require_argument(base > 1 && std::isfinite(base), "base is ", base,
                                   ", but it must be finite and greater than 1");
    heed::detail::require_argument(m >= 0 && std::isfinite(m), "m is ", m,
                                   ", but it must be finite and not negative");
    if (m == 0) return 1;
    return (heed::detail::cosine_integral(m) - heed::detail::cosine_integral(m / base)) /
           std::log(base);
}

/// The least base in that limit, without the small Ci(m): length/x₀, x₀ = 0.6165… the first zero of
/// Ci. Far below heed::rope::least_base, since few dimensions oscillate more. Throws argument_error
/// for a length below 1.
[[nodiscard]] inline double limit_base(index length) {
    heed::detail::require_argument(length >= 1, "length is ", length,
                                   ", but it must be at least 1");
    return static_cast<double>(length) / 0.61650548562071623;
}

}  // namespace rope
}  // namespace heed::inline HEED_ARCHITECTURE
