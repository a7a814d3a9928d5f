#pragma once

#include <vector>

#include <heed/attention/attention.hpp>
#include <heed/softmax/softmax.hpp>

#include "cluster.hpp"
#include "sequence.hpp"
#include "tensors.hpp"
#include "wire.hpp"

/// \file
/// Ring attention (arXiv 2310.01889): keys and values go round the ranks, and each rank attends to
/// those it holds while the next ones are on their way.

namespace context_parallel {

/// How a ring computes.
struct ring_settings {
    model_shape model;
    index tokens = 500;  ///< of the whole sequence
    placement placed = placement::zig_zag;
    bool causal = true;
    number wire = number::float32;  ///< of k and v; gradients travel as floats
    bool overlaps = true;           ///< false: waits for the wire before it computes, to compare
    double rope_base = 10000;
    int failing_rank = -1;  ///< throws in the middle of forward, for a test
};

/// What forward found of one piece, for its owner and for backward.
struct attended {
    tensor o;
    heed::stats<float, heed::softmax_normaliser> stats;
};

/// The gradients of one piece.
struct piece_gradient {
    tensor q, k, v;
};

/// The attention of one layer over a sequence that all ranks hold together. Every function is
/// called by all ranks at once.
class ring_attention {
  public:
    ring_attention(const cluster& ranks, const ring_settings& settings)
        : ranks_(ranks), settings_(settings) {}

    /// o of this rank's pieces. q and k become rotated at their absolute positions.
    std::vector<attended> forward(std::vector<piece>& pieces);
    /// The gradients of this rank's q, k and v, before their rotation, from those of its o.
    /// `pieces` are as forward left them.
    std::vector<piece_gradient> backward(const std::vector<tensor>& d_o,
                                         const std::vector<attended>& done,
                                         const std::vector<piece>& pieces);

    const account& spent() const { return account_; }

  private:
    std::vector<stretch> stretches_of(int rank) const {
        return context_parallel::stretches_of(rank, ranks_.size(), settings_.tokens,
                                              settings_.placed);
    }
    /// f(keys and values of all pieces of one rank, whose they are) of each rank's, one's own
    /// first; f is given a function to be called now and then, for the wire's sake.
    template <class F>
    void for_each_block(const std::vector<piece>& pieces, F&& f);

    const cluster& ranks_;
    ring_settings settings_;
    account account_;
};

}  // namespace context_parallel
