#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <initializer_list>
#include <iterator>
#include <random>
#include <type_traits>
#include <vector>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/Tensor>

/// \file
/// Random inputs for tests. Every run prints its seed; HEED_TEST_SEED=<number> sets it.

namespace heed_test {

/// The seed of this run: HEED_TEST_SEED, or a fixed number, so that a plain run is repeatable.
inline std::uint64_t seed() {
    static const std::uint64_t value = [] {
        const char* text = std::getenv("HEED_TEST_SEED");
        return text != nullptr ? std::strtoull(text, nullptr, 10) : 20170612ULL;
    }();
    return value;
}

/// Random numbers, shapes and tensors. Each test makes its own, `heed_test::generator random;`,
/// so that a test draws the same numbers whether it runs alone or after others.
class generator {
  public:
    explicit generator(std::uint64_t stream = 0)
        : engine_(seed() + 0x9E3779B97F4A7C15ULL * stream) {}

    /// A whole number in [low, high].
    std::ptrdiff_t integer(std::ptrdiff_t low, std::ptrdiff_t high) {
        return std::uniform_int_distribution<std::ptrdiff_t>(low, high)(engine_);
    }

    /// A number in [low, high).
    double uniform(double low = 0, double high = 1) {
        return std::uniform_real_distribution<double>(low, high)(engine_);
    }

    /// A normal number of mean 0.
    double normal(double deviation = 1) {
        return std::normal_distribution<double>(0, deviation)(engine_);
    }

    /// True with the given probability.
    bool chance(double probability) { return uniform() < probability; }

    /// One of the values.
    template <class T>
    T one_of(std::initializer_list<T> values) {
        return *std::next(values.begin(),
                          integer(0, static_cast<std::ptrdiff_t>(values.size()) - 1));
    }

    /// Fills anything with data() and size() (dense) with normal numbers.
    template <class Dense>
    void fill_normal(Dense& dense, double deviation = 1) {
        using scalar = std::remove_reference_t<decltype(*dense.data())>;
        for (std::ptrdiff_t i = 0; i < static_cast<std::ptrdiff_t>(dense.size()); ++i) {
            dense.data()[i] = static_cast<scalar>(normal(deviation));
        }
    }

    /// A row-major tensor of normal numbers: `random.tensor<float>(batch, heads, n, dim)`.
    template <class T, class... Extents>
    Eigen::Tensor<T, static_cast<int>(sizeof...(Extents)), Eigen::RowMajor> tensor(
        Extents... extents) {
        Eigen::Tensor<T, static_cast<int>(sizeof...(Extents)), Eigen::RowMajor> result(
            static_cast<Eigen::Index>(extents)...);
        fill_normal(result);
        return result;
    }

    /// A matrix of normal numbers, row-major unless said otherwise.
    template <class T, int Order = Eigen::RowMajor>
    Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Order> matrix(Eigen::Index rows,
                                                                   Eigen::Index columns) {
        Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Order> result(rows, columns);
        fill_normal(result);
        return result;
    }

    /// Normal numbers in a vector.
    template <class T>
    std::vector<T> numbers(std::size_t count, double deviation = 1) {
        std::vector<T> result(count);
        fill_normal(result, deviation);
        return result;
    }

    std::mt19937_64& engine() { return engine_; }

  private:
    std::mt19937_64 engine_;
};

}  // namespace heed_test
