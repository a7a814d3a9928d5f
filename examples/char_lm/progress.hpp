#pragma once

#include <string>

#include "trainer.hpp"

namespace char_lm {

/// A line that shows how far training is. On a terminal it is drawn over and over; in a file or a
/// pipe a line is written for each tenth, so that a log stays short.
class progress_bar {
  public:
    explicit progress_bar(bool quiet);
    ~progress_bar();
    progress_bar(const progress_bar&) = delete;
    progress_bar& operator=(const progress_bar&) = delete;

    /// `loss` is a smooth one, worth reading.
    void show(const training_state& state, double loss);

  private:
    bool quiet_;
    bool terminal_;
    double shown_at_ = -1;  ///< seconds on a terminal, tenths elsewhere
};

}  // namespace char_lm
