// The gated delta rule is what transformers' functions of Qwen3-Next compute, forward and backward,
// and erasing by channels its recurrence by PyTorch.

#include <string>

#include <heed/linear/decays/log_decay.hpp>
#include <heed/linear/unit_rows.hpp>
#include <heed/linear/updates/delta.hpp>
#include <heed/linear/updates/erase.hpp>

#include "golden.hpp"
#include "recurrences.hpp"
#include "support/catch.hpp"

namespace golden {
namespace test_golden_delta {

TEST_CASE("the gated delta rule is Qwen3-Next's in transformers", "[golden][linear]") {
    for (const std::string name : {"chunk", "recurrent", "chunk_with_state"}) {
        INFO(name);
        const example& from = load("delta", name);
        compare_recurrence(from, heed::learn(heed::log_decay(from.tensor<double, 3>("g"))),
                           heed::learn(heed::delta(from.tensor<double, 3>("beta"))),
                           heed::unit_rows);
    }
}

TEST_CASE("erasing by channels is its recurrence by PyTorch", "[golden][linear]") {
    for (const std::string name : {"erase", "erase_with_state"}) {
        INFO(name);
        const example& from = load("erase", name);
        compare_recurrence(
            from, heed::learn(heed::log_decay(from.tensor<double, 3>("g"))),
            heed::learn(heed::erase(from.tensor<double, 4>("e"), from.tensor<double, 4>("w"))),
            heed::unit_rows);
    }
}

}  // namespace test_golden_delta
}  // namespace golden
