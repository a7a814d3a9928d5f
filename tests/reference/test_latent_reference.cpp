// The reference of latent attention itself: its two forms are one, and d_c + d_r numbers a token
// are all that it sees of what came before.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>

#include "latent.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

namespace reference {
namespace test_latent_reference {

matrix normal(heed_test::generator& random, index rows, index columns) {
    matrix x;
    for (index r = 0; r < rows; ++r)
        x.push_back(random.numbers<double>(static_cast<std::size_t>(columns)));
    return x;
}

double largest_difference(const matrix& a, const matrix& b) {
    double worst = 0;
    for (std::size_t r = 0; r < a.size(); ++r)
        for (std::size_t c = 0; c < a[r].size(); ++c)
            worst = std::fmax(worst, std::abs(a[r][c] - b[r][c]));
    return worst;
}

struct problem {
    latent_options how{
        .heads = 3, .content = 5, .rotated = 4, .value = 6, .rank = 7, .stretch = 4, .rotary = {}};
    latent_weights w;
    matrix x;

    problem(heed_test::generator& random, index rotated, index query_rank, bool is_biased,
            index gates) {
        const index model = 8;
        how.rotated = rotated;
        const index query = how.heads * (how.content + rotated), columns = how.rank + rotated;
        if (query_rank > 0) {
            w.q_a_proj = normal(random, query_rank, model);
            w.q_a_layernorm = normal(random, 1, query_rank)[0];
            w.q_b_proj = normal(random, query, query_rank);
            if (is_biased) w.q_a_proj_bias = normal(random, 1, query_rank)[0];
        } else {
            w.q_proj = normal(random, query, model);
        }
        w.kv_a_proj = normal(random, columns, model);
        w.kv_a_layernorm = normal(random, 1, how.rank)[0];
        w.kv_b_proj = normal(random, how.heads * (how.content + how.value), how.rank);
        w.o_proj = normal(random, model, how.heads * how.value);
        if (is_biased) {
            w.kv_a_proj_bias = normal(random, 1, columns)[0];
            w.o_proj_bias = normal(random, 1, model)[0];
        }
        if (gates > 0) w.g_proj = normal(random, how.heads * gates, model);
        x = normal(random, 9, model);
    }
};

TEST_CASE("absorbed and expanded latent attention are the same") {
    heed_test::generator random(701);
    for (const index query_rank : {0, 5})
        for (const index rotated : {0, 4})
            for (const bool is_biased : {false, true})
                for (const index gates : {0, 1, 6}) {
                    problem of(random, rotated, query_rank, is_biased, gates);
                    of.how.mscale_all_dim = is_biased ? 0.7 : 0;
                    if (rotated > 0 && gates != 1)
                        of.how.rotary = rotation{plain_frequencies(rotated), gates == 0, 1.3};
                    const matrix expanded = latent_attention(of.x, of.w, of.how, false);
                    const matrix absorbed = latent_attention(of.x, of.w, of.how, true);
                    CHECK(largest_difference(expanded, absorbed) < 1e-11);
                    CHECK(largest_difference(expanded, matrix(9, row(8, 0))) > 0.1);
                }
}

TEST_CASE("latent attention of one token is W_o W_v c, whatever q is") {
    heed_test::generator random(702);
    problem of(random, 4, 0, false, 0);
    of.x.resize(1);
    const matrix y = latent_attention(of.x, of.w, of.how, false);
    of.w.q_proj = normal(random, 27, 8);
    of.how.rotary = rotation{plain_frequencies(4), true, 1.3};
    CHECK(largest_difference(y, latent_attention(of.x, of.w, of.how, false)) < 1e-12);
}

TEST_CASE("latent attention is causal") {
    heed_test::generator random(703);
    problem of(random, 4, 5, true, 1);
    of.how.rotary = rotation{plain_frequencies(4), false, 1};
    const matrix y = latent_attention(of.x, of.w, of.how, false);
    matrix some = of.x;
    some.resize(5);
    matrix first = y;
    first.resize(5);
    CHECK(largest_difference(first, latent_attention(some, of.w, of.how, false)) < 1e-12);
}

}  // namespace test_latent_reference
}  // namespace reference
