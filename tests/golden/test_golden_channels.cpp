// Decays a channel are what flash-linear-attention's references compute, forward and backward.

#include <string>

#include <heed/linear/bonus.hpp>
#include <heed/linear/decays/log_decay.hpp>
#include <heed/linear/updates/delta.hpp>
#include <heed/linear/updates/low_rank.hpp>

#include "golden.hpp"
#include "recurrences.hpp"
#include "support/catch.hpp"

namespace golden {
namespace test_golden_channels {

TEST_CASE("RWKV-6 is flash-linear-attention's", "[golden][linear]") {
    const example& from = load("channels", "rwkv6");
    compare_recurrence(from, heed::learn(heed::log_decay(from.tensor<double, 4>("g"))),
                       heed::learn(heed::bonus(from.tensor<double, 2>("u"))));
}

TEST_CASE("Kimi delta attention is flash-linear-attention's", "[golden][linear]") {
    for (const std::string name : {"kda", "kda_with_state"}) {
        INFO(name);
        const example& from = load("channels", name);
        compare_recurrence(from, heed::learn(heed::log_decay(from.tensor<double, 4>("g"))),
                           heed::learn(heed::delta(from.tensor<double, 3>("beta"))));
    }
}

TEST_CASE("RWKV-7 is flash-linear-attention's", "[golden][linear]") {
    for (const std::string name : {"rwkv7", "rwkv7_with_state"}) {
        INFO(name);
        const example& from = load("channels", name);
        compare_recurrence(
            from, heed::learn(heed::log_decay(from.tensor<double, 4>("g"))),
            heed::learn(heed::low_rank(from.tensor<double, 4>("a"), from.tensor<double, 4>("b"))));
    }
}

TEST_CASE("gated linear attention is flash-linear-attention's", "[golden][linear]") {
    for (const std::string name : {"gla", "gla_with_state"}) {
        INFO(name);
        const example& from = load("channels", name);
        compare_recurrence(from, heed::learn(heed::log_decay(from.tensor<double, 4>("g"))));
    }
}

}  // namespace test_golden_channels
}  // namespace golden
