#include "wire.hpp"

#include <algorithm>
#include <cstring>

#include <Eigen/Core>

namespace context_parallel {

void wire_block::make_room(const std::vector<stretch>& stretches) {
    stretches_ = stretches;
    const auto numbers = static_cast<std::size_t>(model_.keys_and_values(tokens_of(stretches)));
    bytes_.resize(numbers * number_size());
}

void wire_block::pack(const std::vector<piece>& pieces) {
    std::vector<stretch> stretches;
    for (const piece& own : pieces) stretches.push_back(own.at);
    make_room(stretches);
    std::byte* to = bytes_.data();
    for (const piece& own : pieces) {
        for (const tensor* x : {&own.k, &own.v}) {
            const auto count = static_cast<std::size_t>(x->size());
            if (as_ == number::bfloat16) {
                for (std::size_t i = 0; i < count; ++i) {
                    const auto rounded = static_cast<Eigen::bfloat16>(x->data()[i]);
                    std::memcpy(to + i * sizeof rounded, &rounded, sizeof rounded);
                }
            } else if (count > 0) {
                std::memcpy(to, x->data(), count * sizeof(float));
            }
            to += count * number_size();
        }
    }
}

std::vector<keys_and_values> wire_block::open() {
    const float* numbers = reinterpret_cast<const float*>(bytes_.data());
    if (as_ == number::bfloat16) {
        wide_.resize(bytes_.size() / number_size());
        for (std::size_t i = 0; i < wide_.size(); ++i) {
            Eigen::bfloat16 narrow;
            std::memcpy(&narrow, bytes_.data() + i * sizeof narrow, sizeof narrow);
            wide_[i] = static_cast<float>(narrow);
        }
        numbers = wide_.data();
    }
    std::vector<keys_and_values> all;
    for (const stretch& at : stretches_) {
        const index half = model_.keys_and_values(at.count()) / 2;
        const auto seen = [&](const float* from) {
            return heed::view(from, {model_.batch, model_.kv_heads, at.count(), model_.dim});
        };
        all.push_back({at, seen(numbers), seen(numbers + half)});
        numbers += 2 * half;
    }
    return all;
}

}  // namespace context_parallel
