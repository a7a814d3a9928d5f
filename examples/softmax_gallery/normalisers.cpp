#include "normalisers.hpp"

#include <algorithm>
#include <cmath>

#include <heed/softmax/dense/entropy_normalised.hpp>
#include <heed/softmax/dense/l2_softmax.hpp>
#include <heed/softmax/dense/relu_squared.hpp>
#include <heed/softmax/dense/sigmoid.hpp>
#include <heed/softmax/dense/taylor_softmax.hpp>
#include <heed/softmax/noise/perturb_max.hpp>
#include <heed/softmax/softmax.hpp>
#include <heed/softmax/softmax_plus_one.hpp>
#include <heed/softmax/sparse/entmax.hpp>
#include <heed/softmax/sparse/entmax15.hpp>
#include <heed/softmax/sparse/soft_top_k.hpp>
#include <heed/softmax/sparse/sparse_softmax.hpp>
#include <heed/softmax/sparse/sparsemax.hpp>

namespace gallery {

const std::vector<normaliser>& all_normalisers() {
    const auto at_most = [](int k, const row& x) {
        return std::min(k, static_cast<int>(x.size()));
    };
    static const std::vector<normaliser> all{
        {"softmax", [](const row& x) { return heed::softmax(x); }},
        {"softmax_plus_one", [](const row& x) { return heed::softmax_plus_one(x); }},
        {"taylor_softmax", [](const row& x) { return heed::taylor_softmax(2)(x); }},
        {"l2_softmax", [](const row& x) { return heed::l2_softmax(x); }},
        {"perturb_max", [](const row& x) { return heed::perturb_max(heed::perturb::normal)(x); }},
        // A short row cannot have that entropy.
        {"entropy_normalised",
         [](const row& x) {
             const double highest = std::log(static_cast<double>(x.size()));
             return heed::entropy_normalised(std::min(1.5, 0.9 * highest))(x);
         }},
        {"sparse_softmax", [=](const row& x) { return heed::sparse_softmax(at_most(4, x))(x); }},
        {"sparse_softmax_by_mass",
         [](const row& x) { return heed::sparse_softmax_by_mass(0.8)(x); }},
        {"entmax", [](const row& x) { return heed::entmax(1.25)(x); }},
        {"entmax15", [](const row& x) { return heed::entmax15(x); }},
        {"sparsemax", [](const row& x) { return heed::sparsemax(x); }},
        {"sigmoid", [](const row& x) { return heed::sigmoid(x); }},
        {"relu_squared", [](const row& x) { return heed::relu_squared(x); }},
        {"normalised_relu_squared", [](const row& x) { return heed::normalised_relu_squared(x); }},
        {"soft_top_k", [=](const row& x) { return heed::soft_top_k(at_most(4, x))(x); }},
    };
    return all;
}

}  // namespace gallery
