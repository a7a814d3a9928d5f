// The compiler says: heed: heed::view takes a pointer to the first element

#include <vector>

#include <heed/heed.hpp>

int main() {
    std::vector<float> memory(12);
    return static_cast<int>(heed::view(memory, {4, 3}).size());
}
