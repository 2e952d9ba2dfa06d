// A directory of the test's own, gone with the object.
#ifndef DUET_TESTS_TESTING_TEMP_DIR_H_
#define DUET_TESTS_TESTING_TEMP_DIR_H_

#include <string>
#include <string_view>

namespace duet_testing {

class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::string& path() const { return path_; }
  // Writes a file, with directories as needed; returns its path.
  std::string Write(const std::string& name, std::string_view contents) const;

 private:
  std::string path_;
};

// The whole file. Throws if it cannot be read, which fails the test.
std::string ReadFile(const std::string& path);

}  // namespace duet_testing

#endif  // DUET_TESTS_TESTING_TEMP_DIR_H_
