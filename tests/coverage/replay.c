/* Runs a fuzz target on the inputs in the files of directories, without a fuzzer: `replay DIRECTORY...`. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "../fuzz/fuzz.h"

static void replay(const char *directory, const char *name)
{
    static uint8_t input[1 << 20];
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "rb");
    REQUIRE(file, path);
    LLVMFuzzerTestOneInput(input, fread(input, 1, sizeof input, file));
    fclose(file);
}

int main(int n, char **arguments)
{
    for (int i = 1; i < n; i++) {
        DIR *directory = opendir(arguments[i]);
        REQUIRE(directory, arguments[i]);
        for (const struct dirent *entry; (entry = readdir(directory));)
            if (entry->d_name[0] != '.')
                replay(arguments[i], entry->d_name);
        closedir(directory);
    }
    return 0;
}
