#include "progress_bar.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <unistd.h>

namespace examples {

progress_bar::progress_bar(bool quiet) : quiet_(quiet), terminal_(isatty(STDERR_FILENO) != 0) {}

progress_bar::~progress_bar() {
    if (!quiet_ && terminal_) std::fputc('\n', stderr);
}

void progress_bar::show(double fraction, const std::string& doing) {
    if (quiet_) return;
    const double seconds = std::chrono::duration<double>(clock::now() - start_).count();
    const bool last = fraction >= 1;
    const double now = terminal_ ? seconds : std::floor(fraction * 10);
    if (!last && now < shown_at_ + (terminal_ ? 0.1 : 1.0)) return;
    shown_at_ = now;

    constexpr int cells = 24;
    const double done = std::min(1.0, fraction);
    std::string bar;
    for (int cell = 0; cell < cells; ++cell) bar += done * cells >= cell + 1 ? "█" : "░";
    const double left = seconds / std::max(done, 1e-9) * (1 - done);
    std::fprintf(stderr, "%s%s %3.0f %%  %3.0f s left  %s%s", terminal_ ? "\r" : "", bar.c_str(),
                 100 * done, left, doing.c_str(), terminal_ ? "\x1b[K" : "\n");
    std::fflush(stderr);
}

}  // namespace examples
