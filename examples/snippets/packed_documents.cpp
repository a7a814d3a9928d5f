// Three documents packed into one sequence, without padding: a token sees its own document only.
#include <iostream>
#include <vector>

#include <heed/heed.hpp>

int main() {
    const std::vector<int> lengths = {5, 20, 11};
    const int dim = 16, total = 36;
    Eigen::MatrixXf q(total, dim), k(total, dim), v(total, dim);
    q.setRandom();
    k.setRandom();
    v.setRandom();

    std::vector<int> document;  // of each token
    for (int d = 0; d < 3; ++d)
        document.insert(document.end(), std::size_t(lengths[std::size_t(d)]), d);
    const Eigen::MatrixXf packed =
        heed::attention(q, k, v, heed::causal, heed::segments(document, document));

    // Each document alone gives the same.
    float difference = 0;
    int first = 0;
    for (const int length : lengths) {
        const Eigen::MatrixXf alone =
            heed::attention(q.middleRows(first, length), k.middleRows(first, length),
                            v.middleRows(first, length), heed::causal);
        difference =
            std::max(difference, (packed.middleRows(first, length) - alone).cwiseAbs().maxCoeff());
        std::cout << "document of " << length << " tokens at " << first
                  << ": largest difference up to here " << difference << '\n';
        first += length;
    }
    return difference < 1e-6F ? 0 : 1;
}
