import time
def test_h(database, valkey):
    time.sleep(30)
