#include <vector>

#include <heed/heed.hpp>

namespace kernels::HEED_ENTRY {

/// One query of zeros weighs all keys alike.
void mean_of_values(float* o, const float* v, long long keys) {
    const std::vector<float> zeros(static_cast<std::size_t>(keys));
    heed::attention_into(heed::view(o, {1, 1}), heed::view(zeros.data(), {1, 1}),
                         heed::view(zeros.data(), {keys, 1LL}), heed::view(v, {keys, 1LL}));
}

}  // namespace kernels::HEED_ENTRY
