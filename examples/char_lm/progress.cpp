#include "progress.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <unistd.h>

namespace char_lm {

progress_bar::progress_bar(bool quiet) : quiet_(quiet), terminal_(isatty(STDERR_FILENO) != 0) {}

progress_bar::~progress_bar() {
    if (!quiet_ && terminal_) std::fputc('\n', stderr);
}

void progress_bar::show(const training_state& state, double loss) {
    if (quiet_) return;
    const bool last = state.fraction >= 1;
    const double now = terminal_ ? state.seconds : std::floor(state.fraction * 10);
    if (!last && now < shown_at_ + (terminal_ ? 0.1 : 1.0)) return;
    shown_at_ = now;

    constexpr int cells = 24;
    const double fraction = std::min(1.0, state.fraction);
    std::string bar;
    for (int cell = 0; cell < cells; ++cell) bar += fraction * cells >= cell + 1 ? "█" : "░";
    const double left = state.seconds / std::max(fraction, 1e-9) * (1 - fraction);
    std::fprintf(stderr, "%s%s %3.0f %%  loss %.3f  %5.1f k tokens/s  %3.0f s left  %s",
                 terminal_ ? "\r" : "", bar.c_str(), 100 * fraction, loss,
                 state.tokens_a_second / 1000, left, terminal_ ? "" : "\n");
    std::fflush(stderr);
}

}  // namespace char_lm
