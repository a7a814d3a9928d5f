#pragma once

#include <chrono>
#include <string>

namespace examples {

/// A line on standard error that shows how far a program is. On a terminal it is drawn over and
/// over; in a file or a pipe a line is written for each tenth, so that a log stays short.
class progress_bar {
  public:
    explicit progress_bar(bool quiet);
    ~progress_bar();
    progress_bar(const progress_bar&) = delete;
    progress_bar& operator=(const progress_bar&) = delete;

    /// `fraction` of the work is done; `doing` is what is going on.
    void show(double fraction, const std::string& doing);

  private:
    using clock = std::chrono::steady_clock;

    bool quiet_;
    bool terminal_;
    clock::time_point start_ = clock::now();
    double shown_at_ = -1;  ///< seconds on a terminal, tenths elsewhere
};

}  // namespace examples
