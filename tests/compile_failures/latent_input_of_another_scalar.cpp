// The compiler says: heed: x must have the scalar of the latent attention

#include <heed/heed.hpp>

void run(const heed::latent_attention<float>& mla, const Eigen::MatrixXd& x) { mla.forward(x); }

int main() {}
