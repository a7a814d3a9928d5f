#pragma once

#include <cmath>
#include <limits>
#include <span>

#include <heed/projection.hpp>

#include "matrix.hpp"
#include "parameters.hpp"

/// \file
/// The layers that are not attention. Each is a small value that knows where its weights lie, and
/// has a forward and, beside it, the backward that goes with it. `p` points to all parameters, `g`
/// to all gradients. A backward writes the gradient of its weights, it does not add to it: each
/// layer is used once in a pass.

namespace char_lm {

/// y = x·W, with x [tokens, inputs], W [inputs, outputs]: heed's projection, by which a token's row
/// is the same alone and among others. It has weights [outputs, inputs].
struct linear {
    weight w;

    template <class Scalar>
    void forward(const Scalar* p, const matrix<Scalar>& x, matrix<Scalar>& y) const {
        y.resize(x.rows(), w.columns);
        heed::project_into(y, x, heed::weights(w.in(p).transpose()));
    }

    /// dW = xᵀ·dy and dx = dy·Wᵀ.
    template <class Scalar>
    void backward(const Scalar* p, Scalar* g, const matrix<Scalar>& x, const matrix<Scalar>& dy,
                  matrix<Scalar>& dx) const {
        dx.resize(x.rows(), x.cols());
        heed::project_backward_into(dx, w.in(g).transpose(), dy, x,
                                    heed::weights(w.in(p).transpose()));
    }
};

/// y += b, in the first columns of y: as many as b has, which may be none.
struct bias {
    weight b;

    template <class Scalar>
    void forward(const Scalar* p, matrix<Scalar>& y) const {
        y.leftCols(b.columns).rowwise() += b.in(p).row(0);
    }

    /// db = Σ dy over the rows.
    template <class Scalar>
    void backward(Scalar* g, const matrix<Scalar>& dy) const {
        b.in(g) = dy.leftCols(b.columns).colwise().sum();
    }
};

/// y = table[token], a row for each character.
struct embedding {
    weight table;

    template <class Scalar>
    void forward(const Scalar* p, std::span<const token> tokens, matrix<Scalar>& y) const {
        const auto rows = table.in(p);
        y.resize(static_cast<index>(tokens.size()), table.columns);
        for (index t = 0; t < y.rows(); ++t) y.row(t) = rows.row(tokens[std::size_t(t)]);
    }

    template <class Scalar>
    void backward(Scalar* g, std::span<const token> tokens, const matrix<Scalar>& dy) const {
        auto rows = table.in(g);
        rows.setZero();
        for (index t = 0; t < dy.rows(); ++t) rows.row(tokens[std::size_t(t)]) += dy.row(t);
    }
};

/// y = x / rms(x) ⊙ gain, rms(x) = √(mean x² + ε), a row at a time.
struct rms_norm {
    weight gain;

    template <class Scalar>
    static column<Scalar> inverse_rms(const matrix<Scalar>& x) {
        const auto epsilon = Scalar(1e-5);
        return (x.rowwise().squaredNorm().array() / Scalar(x.cols()) + epsilon).rsqrt();
    }

    template <class Scalar>
    void forward(const Scalar* p, const matrix<Scalar>& x, matrix<Scalar>& y) const {
        const column<Scalar> r = inverse_rms(x);
        y = (x.array().colwise() * r.array()).rowwise() * gain.in(p).row(0).array();
    }

    /// With x̂ = x·r, r = 1/rms(x) and h = dy ⊙ gain: dgain = Σ dy ⊙ x̂, and
    /// dx = r·(h − x̂·mean(h ⊙ x̂)). The result is added to `dx`, for a norm always stands at the
    /// start of a branch that leaves the residual stream.
    template <class Scalar>
    void backward(const Scalar* p, Scalar* g, const matrix<Scalar>& x, const matrix<Scalar>& dy,
                  matrix<Scalar>& dx) const {
        const column<Scalar> r = inverse_rms(x);
        const auto gains = gain.in(p);
        auto gain_gradient = gain.in(g);
        gain_gradient.setZero();
        for (index t = 0; t < x.rows(); ++t) {
            const auto x_hat = x.row(t) * r[t];
            const auto h = dy.row(t).cwiseProduct(gains.row(0));
            gain_gradient.row(0) += dy.row(t).cwiseProduct(x_hat);
            const Scalar mean = h.dot(x_hat) / Scalar(x.cols());
            dx.row(t) += r[t] * (h - mean * x_hat);
        }
    }
};

/// y = silu(u) = u·σ(u), elementwise.
struct silu {
    template <class Scalar>
    static void forward(const matrix<Scalar>& u, matrix<Scalar>& y) {
        y = u.array() * u.array().logistic();
    }

    /// du = dy·σ(u)·(1 + u·(1 − σ(u))), written over dy.
    template <class Scalar>
    static void backward(const matrix<Scalar>& u, matrix<Scalar>& dy) {
        const auto one = Scalar(1);
        for (index t = 0; t < u.rows(); ++t) {
            const auto row = u.row(t).array();
            const Eigen::Array<Scalar, 1, Eigen::Dynamic> s = row.logistic();
            dy.row(t).array() *= s * (one + row * (one - s));
        }
    }
};

/// The first half of a token's numbers become those of the token before it, as in RWKV (arXiv
/// 2305.13048): what stands side by side is seen by one layer. Before a sequence all are 0.
struct token_shift {
    /// x holds sequences of `length` tokens, one behind the other.
    template <class Scalar>
    static void forward(matrix<Scalar>& x, index length) {
        for (index t = x.rows(); t-- > 0;) {
            auto half = x.row(t).head(x.cols() / 2);
            if (t % length == 0)
                half.setZero();
            else
                half = x.row(t - 1).head(x.cols() / 2);
        }
    }
    template <class Scalar>
    static void backward(matrix<Scalar>& dx, index length) {
        for (index t = 0; t < dx.rows(); ++t) {
            auto half = dx.row(t).head(dx.cols() / 2);
            if (t % length == length - 1)
                half.setZero();
            else
                half = dx.row(t + 1).head(dx.cols() / 2);
        }
    }
    /// One token at a time: `before` is the half of the token before it, and becomes this one's.
    template <class Scalar>
    static void step(matrix<Scalar>& x, column<Scalar>& before) {
        auto half = x.row(0).head(x.cols() / 2);
        const column<Scalar> now = half.transpose();
        half = before.transpose();
        before = now;
    }
};

/// The loss of the whole model: −log softmax(logits)[target], the mean over the tokens that are
/// scored.
struct cross_entropy {
    /// The sum (not the mean) of the losses. `logits` become the gradient of the mean taken over
    /// `count` tokens, (softmax − onehot)/count: the shards of a batch share one mean.
    template <class Scalar>
    static double forward_backward(matrix<Scalar>& logits, std::span<const token> targets,
                                   index count) {
        double loss = 0;
        for (index t = 0; t < logits.rows(); ++t) {
            auto row = logits.row(t).array();
            const index target = targets[std::size_t(t)];
            if (target == not_scored) {
                row.setZero();
                continue;
            }
            row -= row.maxCoeff();
            const Scalar at_target = row[target];
            row = row.exp();
            const Scalar sum = row.sum();
            loss += double(std::log(sum) - at_target);
            row *= Scalar(1) / (sum * Scalar(count));
            row[target] -= Scalar(1) / Scalar(count);
        }
        return loss;
    }
};

}  // namespace char_lm
