// The compiler says: heed: a part of role modifier needs on_row<T>(query_row)

#include <heed/heed.hpp>

struct takes_no_keys : heed::modifier_base {
    template <class T>
    auto on_row(const heed::query_row&) const {
        return [](heed::vec<T> s) { return s; };
    }
};

int main() {
    const Eigen::MatrixXf q(4, 8), k(4, 8), v(4, 8);
    heed::attention(q, k, v, takes_no_keys{});
}
