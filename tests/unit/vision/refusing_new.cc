// The program's operator new, which can be told to fail. In a file of its own: where the compiler
// sees it, it mistakes it for the standard one.
#include <cstddef>
#include <cstdlib>
#include <new>

// For this many bytes there is no memory; 0: there always is.
std::size_t refused_size = 0;

void* operator new(std::size_t size) {
  void* const memory = size == refused_size && size != 0 ? nullptr : std::malloc(size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return std::malloc(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
