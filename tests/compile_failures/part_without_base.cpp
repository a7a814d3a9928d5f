// The compiler says: heed: a part derives from the base of its role

#include <heed/heed.hpp>

struct says_its_role_alone {
    using role = heed::role::mask;

    template <class T>
    auto on_row(const heed::query_row&) const {
        return [](const heed::key_lanes<T>&) { return heed::vec_mask<T>(true); };
    }
};

int main() {
    const Eigen::MatrixXf q(4, 8), k(4, 8), v(4, 8);
    heed::attention(q, k, v, says_its_role_alone{});
}
