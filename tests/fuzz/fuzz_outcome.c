/* A message of the socket for outcomes: whoever may write there writes any bytes. It is read within them, says what it may say or
 * nothing, and makes no entry of the table. */
#include "fuzz.h"

#include "clients/outcomes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static xb_clients *table;
    static uint64_t now = 1000000, messages;
    if (!table) {
        static const uint64_t secret[2] = {1, 2};
        const size_t bytes = xb_clients_size(1);
        table = aligned_alloc(64, bytes);
        memset(table, 0, bytes);
        xb_clients_init(table, bytes, secret, XB_CLIENTS_BY_ADDRESS);
    }
    char *copy = exact_copy(data, size);
    xb_client_keys keys;
    xb_response response;
    const bool read = xb_outcome_parse((xb_span){copy, size}, &keys, &response);
    REQUIRE(response.status == 0 || (response.status >= 100 && response.status < 600), "a status that is none");
    REQUIRE(response.content <= XB_CONTENT_OTHER && response.bytes >= -1, "a content or a length that is none");
    REQUIRE(!read || (response.bytes >= 0 && size > XB_CLIENT_KEYS_TEXT), "read from too little");
    REQUIRE(read || (!keys.client && !keys.network && !keys.shape && !response.status && response.bytes == -1 && !response.content),
            "not read, and something of it kept");
    xb_outcome_take(table, (xb_span){copy, size}, now += 1000);
    REQUIRE(table->outcomes + table->bad_outcomes == ++messages, "not counted once");
    REQUIRE(!table->entries, "an entry that nobody asked for");
    free(copy);
    return 0;
}
