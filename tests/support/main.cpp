// Catch2's main (version 3 links its own) and the seed's line at the start of every run.

#if !__has_include(<catch2/catch_all.hpp>)
#define CATCH_CONFIG_MAIN
#endif
#include <cstdio>

#include "support/catch.hpp"
#include "support/random.hpp"

namespace {

#if __has_include(<catch2/catch_all.hpp>)
using listener_base = Catch::EventListenerBase;
#else
using listener_base = Catch::TestEventListenerBase;
#endif

struct seed_listener : listener_base {
    using listener_base::listener_base;

    void testRunStarting(const Catch::TestRunInfo&) override {
        std::fprintf(stderr, "HEED_TEST_SEED=%llu repeats this run\n",
                     static_cast<unsigned long long>(heed_test::seed()));
    }
};

}  // namespace

CATCH_REGISTER_LISTENER(seed_listener)
